// `lamina mount`, also called as a mount helper. The mount is served by a daemon (daemonise.ts), or with -f by this process.
// Options are checked by whoever serves: this process loads nothing but what it needs to start the daemon.
import { basename } from 'node:path';
import type { Command } from 'commander';
import { type ByteString, fromText, toText } from '../base/index.js';
import { daemonise } from './daemonise.js';
import { columns, UserError, warn } from './output.js';
import type { MountRequest } from './request.js';

interface Flags {
  options: ByteString[];
  foreground?: true;
  debug?: true;
  readOnly?: true;
  rw?: true;
}

export async function define(command: Command, help: boolean): Promise<void> {
  const collect = (value: string, before: string[]) => [...before, value];
  command
    .argument('<where...>', 'the mount point; before it, if you like, a name to show as its source')
    .usage('[SOURCE] MOUNTPOINT -o OPTIONS [-o ...]')
    .option('-o, --options <list>', 'mount options, separated by commas; may be repeated', collect, [])
    .option('-f, --foreground', 'serve the mount in this process; Ctrl-C unmounts')
    .option('-d, --debug', 'log every request to stderr; implies -f')
    .option('-r, --read-only', 'the same as -o ro')
    .option('-w, --rw', 'the same as -o rw')
    .option('-s, --sloppy', 'accepted from mount(8): unknown options are ignored in any case')
    .option('-n, --no-mtab', 'accepted from mount(8): there is no mtab to write')
    .option('-v, --verbose', 'accepted from mount(8)')
    .option('-t, --types <type>', 'accepted from mount(8)')
    .action((where: ByteString[], flags: Flags) => mount(where, flags));
  if (help) command.addHelpText('after', await helpText());
}

async function mount(where: ByteString[], flags: Flags): Promise<void> {
  if (where.length > 2)
    throw new UserError(`one source and one mount point, not: ${toText(where.join(' '))}`);
  const foreground = flags.foreground === true || flags.debug === true;
  const request: MountRequest = {
    options: [...flags.options, ...(flags.rw ? ['rw'] : []), ...(flags.readOnly ? ['ro'] : [])],
    source: where.length === 2 ? where[0]! : null,
    mountpoint: where.at(-1)!,
    cwd: fromText(process.cwd()),
    debug: flags.debug === true,
  };
  const note = (text: string) => warn(`note: ${text}`);
  if (flags.foreground && basename(process.argv[1] ?? '').startsWith('mount.')) return; // mount(8) -f: only pretend
  if (foreground) await (await import('./serve.js')).serve(request, warn, notes => notes.forEach(note));
  else (await daemonise(request)).forEach(note);
}

async function helpText(): Promise<string> {
  const { optionHelp } = await import('../union/index.js');
  const rows = optionHelp().map(({ usage, help }) => [`  ${usage}`, help]);
  return `
Mount options:
${columns(rows).join('\n')}

A mount needs lowerdir; with upperdir and workdir (on one file system) it can be written to.
Other options of mount(8), libfuse and kernel overlayfs are accepted with a note, or refused with a reason.
LAMINA_LOG=FILE in the environment makes a daemon log what it has to say, and with -o debug every request.

As mount_program of podman and buildah: lamina-mount, beside the addon in build/Release.

Examples:
  lamina mount -o lowerdir=/layers/top:/layers/base /mnt                        a read-only view
  lamina mount -o lowerdir=/l,upperdir=/w/upper,workdir=/w/work /mnt            changes go to /w/upper
  lamina mount -d -o lowerdir=/l,upperdir=/w/upper,workdir=/w/work /mnt         stay here and log requests
  lamina mount -o lowerdir=/l,upperdir=/w/upper,workdir=/w/work,volatile /mnt   fast, for throw-away work
In /etc/fstab:
  lamina /mnt fuse.lamina lowerdir=/l,upperdir=/w/upper,workdir=/w/work 0 0`;
}
