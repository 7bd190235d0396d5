// Where a command's bytes go: a file that gets its name when it is whole, or stdout, which must not be a terminal. What is no
// file (a device, a pipe) is written to as it is.
import { randomUUID } from 'node:crypto';
import { closeSync, rmSync } from 'node:fs';
import { open, realpath, rename, rm, stat } from 'node:fs/promises';
import { type ByteString, E, isErrno, SysError } from '../base/index.js';
import { pathBuffer, UserError } from './output.js';
import { SIGNALS } from './signals.js';

export type Sink = (bytes: Uint8Array | string) => Promise<void>;

/**
 * Calls `body` with a sink for the file `path`, or for stdout when that is null. `binary` is what it is that a
 * terminal cannot show. A file that exists stays what it is until the new one is whole and durable.
 * @throws SysError that names the path, when it cannot be written to.
 */
export async function toOutput<T>(
  path: ByteString | null,
  binary: string | null,
  body: (sink: Sink) => Promise<T>,
): Promise<T> {
  if (path !== null) return toPath(path, body);
  if (binary !== null && process.stdout.isTTY) {
    throw new UserError(`${binary} is not for a terminal: give -o FILE, or send it into a pipe`);
  }
  return body(toStdout);
}

/** Whoever reads stdout sees its end now; nothing can be written any more. (`process.stdout.end()` leaves it open.) */
export function endStdout(): void {
  closeSync(1);
}

function toStdout(bytes: Uint8Array | string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(bytes, error => (error ? reject(error) : resolve()));
  });
}

async function toPath<T>(path: ByteString, body: (sink: Sink) => Promise<T>): Promise<T> {
  const bytes = pathBuffer(path);
  const found = await naming(path, stat(bytes)).catch((error: unknown) => {
    if (isErrno(error, E.ENOENT)) return null;
    throw error;
  });
  if (found === null) return toFile(path, bytes, null, body);
  if (found.isFile()) {
    const real = await naming(path, realpath(bytes, { encoding: 'buffer' }));
    return toFile(path, real, found.mode & 0o777, body);
  }
  const file = await naming(path, open(bytes, 'w'));
  try {
    const result = await body(data => naming(path, file.writeFile(data)));
    // Only what is on a disk can be made durable.
    if (found.isBlockDevice()) await naming(path, file.sync());
    return result;
  } finally {
    await file.close();
  }
}

/**
 * Writes a file beside `target`, which gets its name at the end. `path` is what the user called it, `mode` that of the file that
 * it replaces.
 */
async function toFile<T>(
  path: ByteString,
  target: Buffer,
  mode: number | null,
  body: (sink: Sink) => Promise<T>,
): Promise<T> {
  const slash = target.lastIndexOf('/');
  const partial = Buffer.concat([
    target.subarray(0, slash + 1),
    Buffer.from(`.lamina.${randomUUID()}.partial`),
  ]);
  const file = await naming(path, open(partial, 'wx', mode ?? 0o666));
  const forgetSignals = onSignal(() => rmSync(partial, { force: true }));
  try {
    // The mask was applied to it.
    if (mode !== null) await naming(path, file.chmod(mode));
    const result = await body(data => naming(path, file.writeFile(data)));
    await naming(path, file.sync());
    await file.close();
    await naming(path, rename(partial, target));
    return result;
  } catch (error) {
    await file.close();
    await rm(partial, { force: true });
    throw error;
  } finally {
    forgetSignals();
  }
}

/** Runs `clean` when a signal asks the process to end; it ends by that unless somebody else sees to it. */
function onSignal(clean: () => void): () => void {
  const forget = () => {
    for (const name of SIGNALS) process.off(name, end);
  };
  const end = (name: NodeJS.Signals) => {
    clean();
    forget();
    if (process.listenerCount(name) === 0) process.kill(process.pid, name);
  };
  for (const name of SIGNALS) process.on(name, end);
  return forget;
}

/** The same, but a failure names the path as the user does. */
async function naming<T>(path: ByteString, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof Error) || !('errno' in error) || typeof error.errno !== 'number') throw error;
    throw new SysError(-error.errno, path);
  }
}
