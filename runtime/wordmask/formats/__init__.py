"""One result as bytes of a file: pictures and JSON. Nothing here touches the disk."""
