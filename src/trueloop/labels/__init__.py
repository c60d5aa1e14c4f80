"""Labels: whether one fits its task, and which of a task's labels count."""
