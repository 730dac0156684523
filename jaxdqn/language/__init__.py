"""From text to policy: a language model of mazes, whose trunk a Q-network may begin with."""
