"""House rules as tests: what every file of this project keeps to, checked by a machine."""
