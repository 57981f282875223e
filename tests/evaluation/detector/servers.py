"""A web server on this machine: files, or a stream of JPEGs as network cameras send it."""

import functools
import http.server
import threading
import time
from contextlib import contextmanager

import cv2


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing."""


class _Stream(_Quiet):
    images, rate, repeat = (), 25.0, False

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        more = True
        while more:
            for image in self.images:
                jpeg = cv2.imencode(".jpg", image[..., ::-1])[1].tobytes()
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                try:
                    self.wfile.write(head.encode() + jpeg + b"\r\n")
                except OSError:
                    return
                time.sleep(1 / self.rate)
            more = self.repeat


@contextmanager
def serve(folder=None, images=(), rate=25.0, repeat=False):
    """Serve a folder, or images as a stream; give the server's address."""
    if folder is not None:
        handler = functools.partial(_Quiet, directory=str(folder))
    else:
        facts = {"images": images, "rate": rate, "repeat": repeat}
        handler = type("Stream", (_Stream,), facts)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
