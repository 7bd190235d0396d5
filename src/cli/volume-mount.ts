// `lamina volume mount|umount`: a file system on a volume, by a loop device over a FUSE file, served by a daemon.
import type { Command } from 'commander';
import { type ByteString, toText } from '../base/index.js';
import { unmountVolume, volumeMounts } from '../export/index.js';
import { columns, say } from './output.js';
import { absoluteText, volumeAddress } from './pool-address.js';
import { type ServiceFlags, serviceOptions, startService } from './service.js';

interface MountFlags extends ServiceFlags {
  format?: ByteString;
  force?: true;
  options?: ByteString;
}

export function defineVolumeMounts(command: Command): void {
  serviceOptions(
    command
      .command('mount')
      .argument('<volume>', 'DIR/NAME')
      .argument('<mountpoint>')
      .description('Mount the file system on a volume.')
      .option('--format <type>', 'make one first (ext4, xfs); refused when there is something on the volume')
      .option('--force', 'format all the same')
      .option('-o, --options <list>', 'mount options of that file system'),
  ).action(mount);
  command
    .command('umount')
    .argument('<mountpoint>')
    .description('Unmount it; everything is durable and released when this returns.')
    .action((mountpoint: ByteString) => unmountVolume(absoluteText(mountpoint)));
  command
    .command('mounts')
    .description('List the volumes that are mounted so.')
    .option('--json', 'for programs')
    .action(mounts);
}

async function mount(word: ByteString, point: ByteString, flags: MountFlags): Promise<void> {
  const { dir, name } = volumeAddress(word);
  const mountpoint = absoluteText(point);
  await startService(
    {
      dir,
      operation: 'volume.mount',
      params: {
        name,
        mountpoint,
        force: flags.force === true,
        ...(flags.format === undefined ? {} : { format: toText(flags.format) }),
        ...(flags.options === undefined ? {} : { options: toText(flags.options) }),
      },
      title: `lamina volume mount ${mountpoint}`,
    },
    flags,
  );
}

function mounts(flags: { json?: true }): void {
  const found = volumeMounts();
  if (flags.json) {
    say(JSON.stringify(found, null, 2));
    return;
  }
  const rows = found.map(({ pool, volume, mountpoint, device, pid, alive }) => [
    `${pool}/${volume}`,
    mountpoint,
    device,
    alive ? String(pid) : `${pid} (died; lamina volume umount cleans up)`,
  ]);
  for (const row of columns([['VOLUME', 'MOUNTPOINT', 'DEVICE', 'PROCESS'], ...rows])) say(row);
}
