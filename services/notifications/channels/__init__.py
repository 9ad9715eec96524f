"""Ways out of the platform to one person. Each sends one thing and says what became of it; none waits or repeats."""
