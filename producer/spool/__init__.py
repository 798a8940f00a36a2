"""The crash-proof queue on disk: segments that outlive the process, and their adoption by a later one."""
