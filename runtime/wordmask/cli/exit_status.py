"""What the command's exit statuses mean. A signal's is 128 and its number (see wordmask.run.supervisor)."""

OK, FAILED, USAGE, SOME_PHOTOS_FAILED, CANNOT_WRITE = 0, 1, 2, 3, 4
