"""The client that app servers import: light, never raises into the app, never blocks on the network."""
