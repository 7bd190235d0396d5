// Docker's volume plugin: named volumes for containers. One row a method; the store does the work.
import { E, SysError } from '../base/index.js';
import type { Store, VolumeInfo, VolumeRequest, Volumes } from '../store/index.js';
import { sizeOf } from './docker-options.js';
import { BadRequest, type Body, type MethodTable, textOf } from './docker-server.js';

type Wish = { -readonly [K in keyof VolumeRequest]: VolumeRequest[K] };

/** What `docker volume create -o NAME=VALUE` can say. */
const OPTIONS: Readonly<Record<string, (wish: Wish, value: string) => void>> = {
  size(wish, value) {
    wish.size = sizeOf(value, 'volume option size');
  },
  backend(wish, value) {
    if (value !== 'directory' && value !== 'thin')
      throw new SysError(E.EINVAL, `volume option backend="${value}": there are directory and thin`);
    wish.backend = value;
  },
  'snapshot-of'(wish, value) {
    wish.snapshotOf = value;
  },
};

export function volumeDriver(store: Store): MethodTable {
  const { volumes } = store;
  return {
    'VolumeDriver.Create': {
      async run({ body }) {
        await volumes.create(requestOf(body));
        return {};
      },
      undo: ({ body }) => volumes.remove(textOf(body, 'Name')),
    },
    'VolumeDriver.Remove': {
      async run({ body }) {
        await volumes.remove(textOf(body, 'Name'));
        return {};
      },
    },
    'VolumeDriver.Path': {
      run: async ({ body }) => ({ Mountpoint: volumes.get(textOf(body, 'Name')).path ?? '' }),
    },
    'VolumeDriver.Mount': {
      run: async ({ body }) => ({
        Mountpoint: await volumes.mount(textOf(body, 'Name'), textOf(body, 'ID')),
      }),
      undo: ({ body }) => volumes.unmount(textOf(body, 'Name'), textOf(body, 'ID')),
    },
    'VolumeDriver.Unmount': {
      async run({ body }) {
        await volumes.unmount(textOf(body, 'Name'), textOf(body, 'ID'));
        return {};
      },
    },
    'VolumeDriver.Get': { run: async ({ body }) => ({ Volume: await shown(volumes, textOf(body, 'Name')) }) },
    'VolumeDriver.List': { run: async () => ({ Volumes: volumes.list().map(short) }) },
    'VolumeDriver.Capabilities': { run: async () => ({ Capabilities: { Scope: 'local' } }) },
  };
}

function short({ name, path }: VolumeInfo): { Name: string; Mountpoint: string } {
  return { Name: name, Mountpoint: path ?? '' };
}

/** A volume as `docker volume inspect` shows it. */
async function shown(volumes: Volumes, name: string): Promise<object> {
  const volume = volumes.get(name);
  const { backend, size, snapshotOf, holders, created } = volume;
  const used = await volumes.used(name);
  const status = {
    Backend: backend,
    Holders: holders,
    // As texts: templates of the client write large numbers with an exponent.
    ...(size === null ? {} : { Size: `${size}` }),
    ...(used === null ? {} : { Used: `${used}` }),
    ...(snapshotOf === null ? {} : { SnapshotOf: snapshotOf }),
  };
  return { ...short(volume), CreatedAt: new Date(created).toISOString(), Status: status };
}

function requestOf(body: Body): VolumeRequest {
  const wish: Wish = { name: textOf(body, 'Name') };
  const options = body.Opts ?? {};
  if (typeof options !== 'object' || Array.isArray(options)) throw new BadRequest('Opts is no object');
  for (const [name, value] of Object.entries(options)) {
    const set = Object.hasOwn(OPTIONS, name) ? OPTIONS[name] : undefined;
    if (set === undefined) {
      const known = Object.keys(OPTIONS).join(', ');
      throw new SysError(E.EINVAL, `volume option ${name}: there are ${known}`);
    }
    if (typeof value !== 'string') throw new BadRequest(`the volume option ${name} is no text`);
    set(wish, value);
  }
  return wish;
}
