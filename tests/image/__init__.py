"""The image, the compose file and the Kubernetes manifests: what can be said of them without a container engine."""
