"""Small servers that real ones on this machine cannot be: STS, a container's agent, a machine's metadata service, and a bucket whose tokens expire.

All give the keys they were made with. What they were asked is in `requests`."""
import http.server
import json
import threading
import time


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


class Stub:
    def __init__(self, keys):
        self.keys = keys
        self.requests = []
        self.valid_token = "token-2-Hq5Wz8Ls3Td6"
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle_all(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode(errors="replace")
                outer.requests.append((self.command, self.path, body, dict(self.headers)))
                status, text, headers = outer.answer(self.command, self.path, body, self.headers)
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(text.encode())

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_all

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def keys_json(self, token):
        return json.dumps({"Version": 1, "Code": "Success", "AccessKeyId": self.keys[0], "SecretAccessKey": self.keys[1], token: "", "Expiration": stamp(3600)})

    def answer(self, method, path, body, headers):
        if method == "POST" and path == "/" and "AssumeRole" in body:
            if "RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fgood" not in body or ("WebIdentity" in body and "WebIdentityToken=identity-Jx4Nb7" not in body):
                return 403, "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>", {}
            return 200, (f"<R xmlns='https://sts.amazonaws.com/doc/2011-06-15/'><AssumeRoleResult><Credentials><AccessKeyId>{self.keys[0]}</AccessKeyId>"
                         f"<SecretAccessKey>{self.keys[1]}</SecretAccessKey><SessionToken></SessionToken><Expiration>{stamp(3600)}</Expiration>"
                         "</Credentials></AssumeRoleResult></R>"), {}
        if path == "/container":
            return (200, self.keys_json("Token"), {}) if headers.get("Authorization") == "agent-Kd9Ys2" else (403, "", {})
        if path == "/latest/api/token" and method == "PUT":
            return 200, "machine-Vb3Qm7", {}
        if path.startswith("/latest/meta-data/iam/security-credentials/"):
            if headers.get("X-aws-ec2-metadata-token") != "machine-Vb3Qm7":
                return 401, "", {}
            return 200, "the-role" if path.endswith("/") else self.keys_json("Token"), {}
        if path.startswith("/expiring/"):
            if headers.get("X-Amz-Security-Token") == self.valid_token:
                return 200, "fresh", {}
            return 400, "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>", {}
        if path.startswith("/elsewhere/"):
            if "/eu-test-7/s3/" in headers.get("Authorization", ""):
                return 200, "found", {}
            return 301, "<Error><Code>PermanentRedirect</Code><Message>other endpoint</Message></Error>", {"x-amz-bucket-region": "eu-test-7"}
        if path.startswith("/malformed/"):
            if "/eu-test-8/s3/" in headers.get("Authorization", ""):
                return 200, "found", {}
            return 400, "<Error><Code>AuthorizationHeaderMalformed</Code><Message>wrong</Message><Region>eu-test-8</Region></Error>", {}
        if path.startswith("/echo-secret/"):
            return 400, f"<Error><Code>Strange</Code><Message>you sent {self.keys[0]} with {self.keys[1]}</Message></Error>", {}
        if path.startswith("/bomb"):
            return 200, "<!DOCTYPE x [<!ENTITY a 'aaaa'>]><ListBucketResult>&a;</ListBucketResult>", {}
        if path.startswith("/full/"):
            return 507, "", {}
        return 404, "<Error><Code>NoSuchKey</Code></Error>", {}

    def close(self):
        self.server.shutdown()
        self.server.server_close()
