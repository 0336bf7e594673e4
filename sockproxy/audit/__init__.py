"""Who attached what, and which connections skipped TCP: kept in a file, and told from it."""
