"""An RTSP server for tests, run with the system's Python: GStreamer's, from Debian's packages
``gir1.2-gst-rtsp-server-1.0``, ``gstreamer1.0-plugins-good`` and ``gstreamer1.0-plugins-bad``.

    python3 rtsp_server.py VIDEO.mkv USER PASSWORD [PORT]

Plays the H.264 video once to each client that knows user and password, at its pace, from /live. Prints its
port when it is ready.
"""

from __future__ import annotations

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)
video, user, password = sys.argv[1:4]
for element in ("matroskademux", "h264parse", "rtph264pay"):
    if Gst.ElementFactory.find(element) is None:
        sys.exit(f"GStreamer has no {element}")
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[4] if len(sys.argv) > 4 else "0")
auth = GstRtspServer.RTSPAuth()
token = GstRtspServer.RTSPToken()
token.set_string("media.factory.role", "viewer")
auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
server.set_auth(auth)
factory = GstRtspServer.RTSPMediaFactory()
sender = "rtph264pay name=pay0 pt=96 config-interval=1"
factory.set_launch(f'( filesrc location="{video}" ! matroskademux ! h264parse ! {sender} )')
permissions = GstRtspServer.RTSPPermissions()
permissions.add_permission_for_role("viewer", "media.factory.access", True)
permissions.add_permission_for_role("viewer", "media.factory.construct", True)
factory.set_permissions(permissions)
server.get_mount_points().add_factory("/live", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)  # noqa: T201
GLib.MainLoop().run()
