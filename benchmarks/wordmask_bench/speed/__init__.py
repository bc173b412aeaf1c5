"""`wordmask bench`: sides in processes of their own, taking turns."""
