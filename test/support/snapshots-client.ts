// A client of containerd's snapshots service, as containerd is one of lamina's.
import { type Client, credentials, loadPackageDefinition } from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';
import { type Calls, descriptor, STREAMED } from '../../src/drivers/containerd-schema.js';

const METHODS: readonly (keyof Calls)[] = [
  ...([
    'Prepare',
    'View',
    'Mounts',
    'Commit',
    'Remove',
    'Stat',
    'Update',
    'List',
    'Usage',
    'Cleanup',
  ] as const),
];

/** Every call as a promise; a list's messages are put together. Rejects with gRPC's code and details. */
export type SnapshotsClient = {
  readonly [M in keyof Calls]: (request: Partial<Calls[M]['request']>) => Promise<Calls[M]['response']>;
};

interface Teardown {
  teardown(task: () => void): void;
}

/** Connects to the socket; the connection ends with the test. */
export function snapshotsClient(t: Teardown, socket: string): SnapshotsClient {
  const definition = fromJSON(descriptor(METHODS), {
    ...{ keepCase: true, longs: Number, defaults: true, arrays: true, objects: true },
  });
  // biome-ignore lint/suspicious/noExplicitAny: the library makes the class from the description.
  const made = loadPackageDefinition(definition) as any;
  const client = new made.containerd.services.snapshots.v1.Snapshots(
    `unix:${socket}`,
    credentials.createInsecure(),
    // Connections of its own: others' may be waiting to try again.
    { 'grpc.use_local_subchannel_pool': 1 },
  ) as Client & Record<string, (...args: unknown[]) => unknown>;
  t.teardown(() => client.close());
  return Object.fromEntries(
    METHODS.map(name => [name, STREAMED.has(name) ? streamed(client, name) : unary(client, name)]),
  ) as unknown as SnapshotsClient;
}

type Calling = Record<string, (...args: unknown[]) => unknown>;

const unary = (client: Calling, name: string) => (request: object) =>
  new Promise((resolve, reject) => {
    client[name]!(request, (error: Error | null, answer: object) =>
      error === null ? resolve(answer) : reject(error),
    );
  });

const streamed = (client: Calling, name: string) => async (request: object) => {
  const info: unknown[] = [];
  for await (const message of client[name]!(request) as AsyncIterable<{ info: unknown[] }>)
    info.push(...message.info);
  return { info };
};
