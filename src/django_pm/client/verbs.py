"""One definition of a method for both clients. Called by ``resources`` and ``feed``.

A method is written as a function that returns steps. On a resource of ``Client`` it becomes a call that returns the
value, on one of ``AsyncClient`` a coroutine; type checkers see each with the parameters of the one definition.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from django_pm.client.retries import Retry
from django_pm.client.steps import Steps, Stream

P = ParamSpec("P")
T = TypeVar("T")


class Runner(Protocol):
    """What does the steps: ``_run`` for a value, ``_iterate`` for many."""

    retry: Retry

    def _run(self, steps: Steps[Any]) -> Any: ...

    def _iterate(self, stream: Stream[Any]) -> Any: ...


class Resource:
    """One part of the API, on behalf of a client."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    @property
    def _retry(self) -> Retry:
        return self._runner.retry


class SyncResource(Resource):
    """A part of ``Client``."""


class AsyncResource(Resource):
    """A part of ``AsyncClient``."""


class verb(Generic[P, T]):
    """A method that asks something and has an answer."""

    def __init__(self, function: Callable[Concatenate[Any, P], Steps[T]]) -> None:
        self.function = self.__wrapped__ = function
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: None, owner: Any) -> Self: ...

    @overload
    def __get__(self, instance: SyncResource, owner: Any) -> Callable[P, T]: ...

    @overload
    def __get__(self, instance: AsyncResource, owner: Any) -> Callable[P, Coroutine[Any, Any, T]]: ...

    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is None:
            return self
        return _bound(self.function, instance, instance._runner._run)


class listing(Generic[P, T]):
    """A method whose answers are iterated over, fetched as they are needed."""

    def __init__(self, function: Callable[Concatenate[Any, P], Stream[T]]) -> None:
        self.function = self.__wrapped__ = function
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: None, owner: Any) -> Self: ...

    @overload
    def __get__(self, instance: SyncResource, owner: Any) -> Callable[P, Generator[T, None, None]]: ...

    @overload
    def __get__(self, instance: AsyncResource, owner: Any) -> Callable[P, AsyncGenerator[T, None]]: ...

    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is None:
            return self
        return _bound(self.function, instance, instance._runner._iterate)


def _bound(function: Callable[..., Any], instance: Resource, do: Callable[[Any], Any]) -> Callable[..., Any]:
    """``function`` as a method of ``instance`` whose steps are done; ``help()`` shows it as it is written."""
    method = function.__get__(instance)

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        return do(method(*args, **kwargs))

    return call
