"""A search's folder, wherever it lies: layout, lock, report logs, object stores and their sync."""
