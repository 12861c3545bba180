"""Tables of what some kinds of scenario alone can be asked: targets that nobody saw, tasks, clients."""
