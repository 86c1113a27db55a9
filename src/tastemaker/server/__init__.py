"""The HTTP server and its page: thin, and ignorant of models. What it serves stands behind `Service`."""

from tastemaker.server.admission import LaneSettings
from tastemaker.server.app import ServerSettings, create_app
from tastemaker.server.run import About, address, bind, serve, serve_processes
from tastemaker.server.service import Service

__all__ = [
    "About",
    "LaneSettings",
    "ServerSettings",
    "Service",
    "address",
    "bind",
    "create_app",
    "serve",
    "serve_processes",
]
