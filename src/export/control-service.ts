// Services on a pool as operations: they end when their caller wants no more, or by themselves when they are unmounted. More
// than one may run in the process that has the pool, each for another caller.
import { E, isErrno } from '../base/index.js';
import { NbdServer } from '../nbd/index.js';
import type { Pool } from '../thin/index.js';
import { asked, type OperationIo, operation } from './control-operation.js';
import { checkElsewhere } from './control-paths.js';
import { mountDisks } from './disks-mount.js';
import { nbdExports } from './nbd-exports.js';
import { mountVolume } from './volumemount.js';

interface Mount {
  readonly closed: Promise<void>;
  unmount(): Promise<void>;
}

/**
 * Serves a mount until it is gone. When the caller wants no more it is unmounted; one that is in use is handled by `busy`,
 * and is served on.
 */
async function untilUnmounted(mount: Mount, io: OperationIo, busy: () => Promise<void>): Promise<void> {
  const end = async () => {
    try {
      await mount.unmount();
    } catch (error) {
      if (!isErrno(error, E.EBUSY)) throw error;
      await busy();
    }
  };
  try {
    io.ready([]);
  } catch (error) {
    // Whoever asked for the mount has gone, and would not know of it.
    await end();
    throw error;
  }
  const over = mount.closed.then(() => true);
  if (await Promise.race([over, asked(io.signal).then(() => false)])) return;
  await end();
  await mount.closed;
}

interface NbdParams {
  readonly names: readonly string[];
  readonly socket?: string;
  readonly port?: number;
  readonly host?: string;
}

/** Serves volumes by NBD until the caller wants no more; then what is in flight is finished. */
async function serveNbd(pool: Pool, params: NbdParams, io: OperationIo): Promise<void> {
  const { names, socket, port, host } = params;
  for (const name of names) pool.info(name);
  if (socket !== undefined) await checkElsewhere(pool, socket);
  const server = new NbdServer(() => nbdExports(pool, names));
  try {
    if (socket !== undefined) await server.listen({ path: socket });
    if (port !== undefined) await server.listen({ port, ...(host === undefined ? {} : { host }) });
    io.ready(nbdAddresses({ ...params, ...(port === undefined ? {} : { port: server.port }) }));
    await asked(io.signal);
  } finally {
    await server.close();
  }
}

/** The exports as URIs (github.com/NetworkBlockDevice/nbd, doc/uri.md), for each address. */
function nbdAddresses({ names, socket, port, host }: NbdParams): string[] {
  const uris: string[] = [];
  for (const name of names) {
    const path = encodeURIComponent(name);
    if (socket !== undefined) uris.push(`nbd+unix:///${path}?socket=${encodeURI(socket)}`);
    if (port !== undefined) uris.push(`nbd://${host ?? '127.0.0.1'}:${port}/${path}`);
  }
  return uris;
}

export const SERVICE_OPERATIONS = {
  'nbd.serve': operation(
    fields => ({
      names: fields.texts('names'),
      ...fields.optionalText('socket'),
      ...fields.optionalNumber('port'),
      ...fields.optionalText('host'),
    }),
    serveNbd,
    { lasting: true, reclaims: true },
  ),
  'pool.mount': operation(
    fields => ({
      mountpoint: fields.text('mountpoint'),
      readOnly: fields.flag('readOnly'),
      allowOther: fields.flag('allowOther'),
    }),
    async (pool, { mountpoint, ...options }, io) => {
      await checkElsewhere(pool, mountpoint);
      const mount = await mountDisks(pool, mountpoint, options);
      // In use: out of the tree now, and served until its last user has gone.
      await untilUnmounted(mount, io, () => mount.unmount({ lazy: true }));
    },
    { lasting: true, reclaims: true },
  ),
  'volume.mount': operation(
    fields => ({
      name: fields.text('name'),
      mountpoint: fields.text('mountpoint'),
      force: fields.flag('force'),
      ...fields.optionalText('format'),
      ...fields.optionalText('options'),
    }),
    async (pool, { name, mountpoint, ...options }, io) => {
      const mount = await mountVolume(pool, name, mountpoint, { ...options, finished: () => io.released() });
      // In use: a file system cannot be taken from its users.
      await untilUnmounted(mount, io, async () => {});
    },
    { lasting: true, reclaims: true },
  ),
};
