// What engines do with their storage, as a table: a script for each family of engines, with what comes before and after it and is not
// measured. $E is the engine's client, $D the bench's directory with big.tar (20 000 files), small.tar, and ctx/.
import type { Family } from './subjects.js';

/** Scripts of bash; `measured` alone is. */
export interface Steps {
  readonly before?: string;
  readonly measured: string;
  readonly after?: string;
}

export interface EngineWorkload {
  readonly name: string;
  readonly about: string;
  readonly steps: Partial<Record<Family, Steps>>;
}

/** What all workloads of a family need, once. */
export const PREPARE: Record<Family, string> = {
  docker: '$E import "$D/big.tar" big; $E import "$D/small.tar" small',
  podman: '$E import "$D/big.tar" big; $E import "$D/small.tar" small',
  containerd:
    '$E images import --snapshotter $S "$D/big-image.tar"; $E images import --snapshotter $S "$D/small-image.tar"',
};

const TEN = `seq 10 | sed 's/.*/RUN echo & >>\\/log; echo & >\\/file&/' | cat <(echo FROM small) - >ctx/Dockerfile`;
const NAMES = 'seq -f c%g 50';

export const ENGINE_WORKLOADS: readonly EngineWorkload[] = [
  {
    name: 'import',
    about: 'an image of 20 000 files',
    steps: {
      docker: { measured: '$E import "$D/big.tar" again', after: '$E rmi again' },
      podman: { measured: '$E import "$D/big.tar" again', after: '$E rmi again' },
      containerd: {
        before: '$E images rm --sync bench.local/big:1',
        measured: '$E images import --snapshotter $S "$D/big-image.tar"',
      },
    },
  },
  {
    name: 'start',
    about: 'a container that ends at once, to its end',
    steps: {
      docker: { measured: '$E run --rm --network none small /bin/true' },
      podman: { measured: '$E run --rm --network none $U localhost/small /bin/true' },
      containerd: { measured: '$E run --rm --snapshotter $S bench.local/small:1 one /bin/true' },
    },
  },
  {
    name: 'build',
    about: 'ten layers, without a cache',
    steps: {
      docker: {
        before: `mkdir -p ctx; ${TEN}`,
        measured: '$E build --no-cache --network none -t built ctx',
        after: '$E rmi built',
      },
      podman: {
        before: `mkdir -p ctx; ${TEN.replace('FROM small', 'FROM localhost/small')}`,
        measured: '$E build --no-cache --layers --isolation oci --network none $U -t built ctx',
        after: '$E rmi built',
      },
    },
  },
  {
    name: 'commit',
    about: 'a container that changed 200 of 20 000 files',
    steps: {
      docker: {
        before:
          "$E run --name changed --network none big /bin/sh -c 'for i in $(seq 0 199); do echo x >>/files/d0/f$i; done'",
        measured: '$E commit changed committed',
        after: '$E rm changed; $E rmi committed',
      },
      podman: {
        before:
          "$E run --name changed --network none $U localhost/big /bin/sh -c 'for i in $(seq 0 199); do echo x >>/files/d0/f$i; done'",
        measured: '$E commit -q changed committed',
        after: '$E rm changed; $E rmi committed',
      },
    },
  },
  {
    name: 'remove',
    about: '50 containers',
    steps: {
      docker: {
        before: `for c in $(${NAMES}); do $E create --name $c --network none big /bin/true; done`,
        measured: `$E rm $(${NAMES})`,
      },
      podman: {
        before: `for c in $(${NAMES}); do $E create --name $c --network none $U localhost/big /bin/true; done`,
        measured: `$E rm $(${NAMES})`,
      },
      containerd: {
        before: `for c in $(${NAMES}); do $E containers create --snapshotter $S bench.local/big:1 $c; done`,
        measured: `$E containers rm $(${NAMES}); $E content prune references >/dev/null`,
      },
    },
  },
];
