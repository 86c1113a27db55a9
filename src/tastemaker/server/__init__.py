"""The HTTP server and its page: thin, and ignorant of models. What it serves is a
`serving.service.WorkspaceService`."""

from tastemaker.server.admission import LaneSettings as LaneSettings
from tastemaker.server.app import ServerSettings as ServerSettings
from tastemaker.server.app import create_app as create_app
from tastemaker.server.run import About as About
from tastemaker.server.run import address as address
from tastemaker.server.run import bind as bind
from tastemaker.server.run import serve as serve
from tastemaker.server.run import serve_processes as serve_processes
