// Servers for the tests of this room: on a unix socket in a directory of their own, closed when the test ends. A server that
// still has a client, a device or memory after that is a failure.
import { join } from 'node:path';
import { inspect } from 'node:util';
import type { BlockDevice } from '../../src/base/index.js';
import { type NbdExport, NbdServer, type NbdServerOptions } from '../../src/nbd/index.js';
import { scratch } from '../support/cleanup.js';
import { Client, type Entry } from './client.js';

interface Test {
  teardown(task: () => void): void;
}

export interface Served {
  readonly server: NbdServer;
  readonly path: string;
  /** The URI of an export on it. */
  uri(name?: string): string;
  /** A client that is connected and nothing else. */
  connect(): Promise<Client>;
  /** A client in transmission. */
  enter(name: string, entry?: Entry): Promise<Client>;
  /** What the server reported. */
  readonly errors: unknown[];
  /** Devices that are open. */
  readonly open: () => number;
}

/** Serves devices by name. */
export async function serve(
  t: Test,
  devices: Readonly<Record<string, BlockDevice>>,
  options: NbdServerOptions = {},
): Promise<Served> {
  const { dir } = scratch(t, 'nbd');
  const path = join(dir, 'socket');
  const errors: unknown[] = [];
  let opened = 0;
  const exports = Object.entries(devices).map(([name, device]): NbdExport => {
    return { name, description: `the ${name}`, open: () => counting(device) };
  });
  const counting = (device: BlockDevice): BlockDevice => {
    opened++;
    return handle(device, () => {
      opened--;
    });
  };
  const server = new NbdServer(() => exports, { onError: error => errors.push(error), ...options });
  await server.listen({ path });
  const clients: Client[] = [];
  const connect = async (): Promise<Client> => {
    const client = await Client.open(path);
    clients.push(client);
    return client;
  };
  t.teardown(async () => {
    for (const client of clients) client.close();
    await server.close();
    const left = { clients: server.connected, bytes: server.memory, devices: opened, reported: errors };
    if (server.connected + server.memory + opened + errors.length > 0) {
      throw new Error(`left behind: ${inspect(left)}`);
    }
  });
  const enter = async (name: string, entry?: Entry): Promise<Client> => {
    const client = await connect();
    await client.enter(name, entry);
    return client;
  };
  const uri = (name = ''): string => `nbd+unix:///${name}?socket=${path}`;
  return { server, path, uri, connect, enter, errors, open: () => opened };
}

/** A handle of a device, with a close of its own. */
function handle(device: BlockDevice, closed: () => void): BlockDevice {
  return {
    get size() {
      return device.size;
    },
    blockSize: device.blockSize,
    readOnly: device.readOnly,
    read: (offset, length, into, at) => device.read(offset, length, into, at),
    write: (offset, data) => device.write(offset, data),
    zero: (offset, length, unmap) => device.zero(offset, length, unmap),
    discard: (offset, length) => device.discard(offset, length),
    flush: () => device.flush(),
    extents: (offset, length, visit) => device.extents(offset, length, visit),
    async close() {
      closed();
    },
  };
}

/** Waits for a condition that another part of this process brings about. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const limit = performance.now() + 60_000;
  while (!condition()) {
    if (performance.now() > limit) throw new Error(`in vain waited until ${what}`);
    await new Promise(resolve => setImmediate(resolve));
  }
}
