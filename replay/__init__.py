"""Read, verify and send what the archive holds; every part is checked against its digest."""
