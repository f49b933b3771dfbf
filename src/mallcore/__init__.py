"""mallcore: the backend core of a shopping mall, as a library a host application embeds."""

__version__ = "0.1.0"
