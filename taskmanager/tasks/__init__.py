"""All of one thing: the task, its table, its SQL, its shapes and its routes."""
