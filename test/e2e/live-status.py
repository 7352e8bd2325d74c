"""Runs a command in a pseudo-terminal of 80 x 24, sends keys once it has drawn, and prints what happened as JSON."""
import json, os, pty, select, sys, termios, time, fcntl, struct

keys, *command = sys.argv[1:]
master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for descriptor in (0, 1, 2):
        os.dup2(slave, descriptor)
    os.execvp(command[0], command)
seen = b""
sent = False
code = None
end = time.monotonic() + 60
while time.monotonic() < end:
    if select.select([master], [], [], 0.1)[0]:
        seen += os.read(master, 65536)
    if not sent and b"q leaves" in seen and b"worker-1" in seen:
        os.write(master, keys.encode().decode("unicode_escape").encode())
        sent = True
    if code is None:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            end = min(end, time.monotonic() + 0.5)
if code is None:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
after = termios.tcgetattr(slave)
print(json.dumps({"code": code, "restored": before == after, "seen": seen.decode("utf-8", "replace")}))
