"""Files to and from servers: HTTP(S) and FTP, a piece at a time. See README.md; the way in is way.Way."""
