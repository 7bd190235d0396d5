#!/usr/bin/env node
// The `lamina` command: finds the command in the words, loads it, runs it. Exit status 0, or 1 with a reason on stderr.
import { Command } from 'commander';
import { byteArguments, findCall } from './arguments.js';
import { COMMANDS } from './commands.js';
import { describe, warn } from './output.js';
import { version } from './version.js';

const HELP = `
Examples:
  lamina mount -o lowerdir=/layers/app:/layers/base,upperdir=/w/upper,workdir=/w/work /mnt
  lamina umount /mnt
  lamina layer diff /w/upper --lower /layers/app --lower /layers/base
  lamina pool create /srv/pool --size 100G
  lamina volume create /srv/pool/db --size 1T
  lamina volume mount /srv/pool/db /mnt/db --format ext4
  lamina doctor /w
  mount -t fuse.lamina lamina /mnt -o lowerdir=/layers/base,upperdir=/w/upper,workdir=/w/work

'lamina help COMMAND' says more. Without a command, -o OPTIONS MOUNTPOINT mounts.`;

async function run(): Promise<void> {
  const words = byteArguments();
  const program = new Command('lamina');
  program.description(
    'Layer directories as one tree, and volumes from thin pools: storage for containers in user space.',
  );
  program.version(`lamina: version ${version()}`, '-V, --version', 'print the version');
  program.addHelpText('after', HELP);
  // Words are byte strings, so what commander says of them is written byte by byte.
  const write = (stream: NodeJS.WriteStream) => (text: string) =>
    void stream.write(Buffer.from(text, 'latin1'));
  program.configureOutput({ writeOut: write(process.stdout), writeErr: write(process.stderr) });
  const call = findCall(
    words,
    COMMANDS.map(row => row.name),
  );
  const wanted = call?.command ?? (words[0] === 'help' ? words[1] : undefined);
  const help = words[0] === 'help' || words.includes('-h') || words.includes('--help');
  for (const { name, summary, load } of COMMANDS) {
    const sentence = `${summary[0]!.toUpperCase()}${summary.slice(1)}.`;
    const command = program.command(name).summary(summary).description(sentence);
    if (name === wanted) await (await load()).define(command, help);
  }
  if (words.length === 0) program.help({ error: true });
  await program.parseAsync(call === null ? words : [call.command, ...call.words], { from: 'user' });
}

// `lamina layer diff ... | head`: the reader has seen enough.
process.stdout.on('error', error => {
  warn(describe(error));
  process.exit(1);
});

run().catch(error => {
  warn(describe(error));
  process.exitCode = 1;
});
