"""The secret key of a site that was given none: made once, kept beside its data."""

import os
import tempfile
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key


def stored_secret_key(folder: Path) -> str:
    """Return the key stored in `folder`, making it first where there is none.

    Several processes may start at once on an empty folder, and all must end up with one key. So the key is
    written in full under another name and then linked into place: the link either appears whole or fails
    because another process was first, and then that one's key is read.
    """
    path = folder / "secret_key"
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            handle, draft = tempfile.mkstemp(dir=folder, prefix="secret_key.")  # readable by its owner only
            try:
                with os.fdopen(handle, "w") as file:
                    file.write(get_random_secret_key())
                os.link(draft, path)
            except FileExistsError:
                pass
            finally:
                Path(draft).unlink()
        key = path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"No SECRET_KEY is set and none can be kept in {folder}: {error.strerror}. "
            "Set SECRET_KEY, or PM_DATA_DIR to a folder that can be written."
        ) from error
    if not key:
        raise ImproperlyConfigured(f"{path} is empty. Delete it and start again; everybody has to sign in again.")
    return key
