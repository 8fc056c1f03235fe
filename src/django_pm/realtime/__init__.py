"""Live notifications over WebSocket: ``/ws/notifications/``. Mount them with ``django_pm.realtime.asgi``.

asgi            what a host mounts: one line around its own application
authentication  who is at the other end, asked at the handshake and again before anything is sent
connection      one socket: its frames in, its queue out, what it has missed
hub             one per server process: reads each new event once, and hands the same text to every socket
reading         the questions to the database, each for all sockets at once
protocol        the frames, as documented
wake            tells the hubs of all processes that something was committed; only ever a hint
"""
