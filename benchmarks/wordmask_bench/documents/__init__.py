"""What pages show and code makes: the README's pictures, what the notebook prints."""
