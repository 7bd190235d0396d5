// The subject of the BlockDevice contract that goes through a socket: a volume, our NBD server, and libnbd's client.
import { E } from '../../src/base/index.js';
import { NbdServer } from '../../src/nbd/index.js';
import { checkPool } from '../../src/thin/check.js';
import { NbdDevice } from './nbd-device.js';
import { type PoolStage, poolStage } from './thin-pool.js';
import type { Subject } from './thin-pool-subjects.js';

/** A server for one volume of the pool as it is open now, and a client of it. */
async function connect(place: PoolStage, name: string): Promise<{ device: NbdDevice; end(): Promise<void> }> {
  const defects: unknown[] = [];
  const offered = { name, description: '', open: () => place.pool.volume(name) };
  const server = new NbdServer(() => [offered], { onError: error => defects.push(error) });
  const path = place.scratch.path(`${name}.sock`);
  await server.listen({ path });
  const device = await NbdDevice.connect(`nbd+unix:///${name}?socket=${path}`);
  return {
    device,
    async end() {
      await device.close();
      await server.close();
      if (defects.length > 0) throw defects[0];
    },
  };
}

export const nbd: Subject = {
  name: 'a volume through an NBD client',
  fresh: 'hole',
  // What the protocol says instead of EROFS, and of EINVAL for writes beyond the end.
  errors: { readOnly: E.EPERM, beyond: E.ENOSPC },
  async stage(t, size) {
    const place = await poolStage(t);
    await place.pool.createVolume({ name: 'v', size });
    let client = await connect(place, 'v');
    let view: Awaited<ReturnType<typeof connect>> | null = null;
    return {
      get device() {
        return client.device;
      },
      map: (offset, length) => client.device.map(offset, length),
      async reopen() {
        await client.end();
        await place.reopen();
        client = await connect(place, 'v');
      },
      async readOnly() {
        await place.pool.snapshot([{ origin: 'v', name: 'view', readOnly: true }]);
        view = await connect(place, 'view');
        return view.device;
      },
      async verify() {
        await view?.end();
        await client.end();
        await place.close();
        const report = await checkPool(place.dir);
        if (!report.clean) throw new Error(JSON.stringify(report.findings));
      },
    };
  },
};
