// What the tests of this room share: a directory of their own, and small processes that use the addon or provide what
// TypeScript cannot (a system call that is missing, a socket that carries descriptors).
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ByteString, ok, Stat } from '../../src/base/index.js';
import { AT, close, O, openChild, openPath, pread, pwrite, statx } from '../../src/sys/index.js';

/** The part of a tap test that a helper needs. */
export interface Test {
  teardown(fn: () => unknown): void;
}

/** The addon that this process uses. */
export const ADDON =
  process.env.LAMINA_ADDON ?? fileURLToPath(new URL('../../build/Release/lamina.node', import.meta.url));

export interface Scratch {
  readonly path: string;
  readonly fd: number;
}

/** An open, empty directory (under `base`) that the end of the test removes. */
export function scratch(t: Test, base = tmpdir()): Scratch {
  const path = mkdtempSync(join(base, 'lamina-sys-'));
  const fd = ok(openPath(path, O.RDONLY | O.DIRECTORY), path);
  t.teardown(() => {
    close(fd);
    rmSync(path, { recursive: true, force: true });
  });
  return { path, fd };
}

/** Opens `name` in `dir`, creating it when the flags say so; the end of the test closes it. */
export function opened(t: Test, dir: number, name: ByteString, flags = O.RDWR | O.CREAT): number {
  const fd = ok(openChild(dir, name, flags, (flags & O.CREAT) === 0 ? 0 : 0o644), name);
  t.teardown(() => close(fd));
  return fd;
}

/** Writes `text` at `offset`. */
export function put(fd: number, text: string, offset = 0): void {
  const bytes = Buffer.from(text, 'latin1');
  ok(pwrite(fd, bytes, 0, bytes.length, offset), 'pwrite');
}

/** The `length` bytes at `offset`, or fewer at the end. */
export function take(fd: number, length: number, offset = 0): string {
  const bytes = Buffer.alloc(length);
  return bytes.toString('latin1', 0, ok(pread(fd, bytes, 0, length, offset), 'pread'));
}

/** The attributes of `name` in `dir` ("": of the descriptor), not through a symlink. */
export function stat(dir: number, name: ByteString = ''): Stat {
  const out = new Stat();
  ok(statx(dir, name, AT.EMPTY_PATH | AT.SYMLINK_NOFOLLOW, out.slots), name);
  return out;
}

/** How many descriptors this process has. */
export function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

/** What a process printed; throws when it fails. */
export function run(command: string, args: readonly string[], input?: string): string {
  const done = spawnSync(command, args, { encoding: 'latin1', ...(input === undefined ? {} : { input }) });
  if (done.error !== undefined) throw done.error;
  if (done.status !== 0) throw new Error(`${command} ${done.status ?? done.signal}: ${done.stderr}`);
  return done.stdout;
}

// seccomp(2): the system calls of argv[1] fail with errno argv[2] in the command that follows.
const WITHOUT = `
import ctypes, os, struct, sys
numbers = [int(n) for n in sys.argv[1].split(',')]
code = struct.pack('HBBI', 0x20, 0, 0, 0)
for n in numbers:
    code += struct.pack('HBBI', 0x15, 0, 1, n) + struct.pack('HBBI', 0x06, 0, 0, 0x00050000 | int(sys.argv[2]))
code += struct.pack('HBBI', 0x06, 0, 0, 0x7fff0000)
block = ctypes.create_string_buffer(code, len(code))
program = struct.pack('HxxxxxxP', len(code) // 8, ctypes.addressof(block))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, ctypes.create_string_buffer(program), 0, 0) != 0:
    sys.exit('seccomp: ' + os.strerror(ctypes.get_errno()))
os.execv(sys.argv[3], sys.argv[3:])
`;

/** Runs a script (CommonJS; `n` is the addon) in a process where system calls fail with `errno`; what it printed, parsed. */
export function runWithout(calls: readonly number[], errno: number, script: string): unknown {
  const body = `const n = require(${JSON.stringify(ADDON)});\n${script}`;
  const args = ['-c', WITHOUT, calls.join(), String(errno), process.execPath, '-e', body];
  return JSON.parse(run('python3', args));
}

/** Runs a script (CommonJS; `n` is the addon) in a process of its own; what it printed, parsed. */
export function runScript(script: string): unknown {
  const body = `const n = require(${JSON.stringify(ADDON)});\n${script}`;
  return JSON.parse(run(process.execPath, ['-e', body]));
}
