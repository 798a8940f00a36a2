"""What on-call is told: heartbeats, positions, the moment at which data would be lost, and the rules on them."""
