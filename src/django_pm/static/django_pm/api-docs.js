// Starts Swagger UI on the page that includes it. A file of its own, so that no inline script is needed (strict CSP).
"use strict";
(() => {
  const target = document.getElementById("api-docs");
  const cookie = (name) =>
    document.cookie.split("; ").find((part) => part.startsWith(name + "="))?.slice(name.length + 1);

  window.SwaggerUIBundle({
    url: target.dataset.schema,
    domNode: target,
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    persistAuthorization: false,
    // Someone signed in by session needs Django's CSRF token for "Try it out" on a write.
    requestInterceptor: (request) => {
      const token = cookie("csrftoken");
      const writes = !["GET", "HEAD", "OPTIONS"].includes((request.method || "GET").toUpperCase());
      if (writes && token && new URL(request.url, location.href).origin === location.origin) {
        request.headers["X-CSRFToken"] = token;
      }
      return request;
    },
  });
})();
