// `lamina doctor`: what this host and these directories offer, tried rather than guessed, and which options suit them.
import type { Command } from 'commander';
import { type ByteString, toText } from '../base/index.js';
import type { Finding } from './finding.js';
import { columns, say, UserError } from './output.js';
import { type DirectoryReport, probeDirectory } from './probe-directory.js';
import { probeHost } from './probe-host.js';
import { enableRing } from './probe-ring.js';

export function define(command: Command): void {
  command
    .argument('[directories...]', 'where layers are to lie (default: the current directory)')
    .option('--json', 'for programs')
    .option(
      '--enable-io-uring',
      'first switch FUSE over io_uring on for new mounts, until the next boot; as root',
    )
    .addHelpText('after', '\nExample:\n  lamina doctor /var/lib/containers /tmp')
    .action((directories: ByteString[], flags: Flags) => {
      if (flags.enableIoUring === true) enableRing();
      return doctor(directories, flags.json === true);
    });
}

interface Flags {
  json?: true;
  enableIoUring?: true;
}

async function doctor(words: readonly ByteString[], json: boolean): Promise<void> {
  const paths = words.length === 0 ? [process.cwd()] : words.map(toText);
  const directories = paths.map(path => inspect(path));
  const host = await probeHost();
  const advice = advise(host, directories);
  if (json)
    say(JSON.stringify({ host: values(host), directories: directories.map(asJson), advice }, null, 2));
  else print(host, directories, advice);
}

function inspect(path: string): DirectoryReport {
  try {
    return probeDirectory(path);
  } catch (error) {
    throw new UserError(`cannot try anything in ${path}: ${error instanceof Error ? error.message : error}`);
  }
}

function values(findings: readonly Finding[]): Record<string, Finding['value']> {
  return Object.fromEntries(findings.map(({ name, value }) => [name, value]));
}

function asJson({ path, type, free, findings }: DirectoryReport): object {
  return { path, type, free, ...values(findings) };
}

function print(
  host: readonly Finding[],
  directories: readonly DirectoryReport[],
  advice: readonly string[],
): void {
  const section = (title: string, findings: readonly Finding[]) => {
    say(title);
    for (const line of columns(findings.map(({ name, shown, meaning }) => [`  ${name}`, shown, meaning])))
      say(line);
    say();
  };
  section('This host', host);
  for (const { path, type, free, findings } of directories) {
    section(`${path} (${type}, ${(free / 2 ** 30).toFixed(1)} GiB free)`, findings);
  }
  say('Advice');
  for (const line of advice) say(`  ${line}`);
}

function advise(host: readonly Finding[], directories: readonly DirectoryReport[]): string[] {
  const offers = (findings: readonly Finding[], name: string) =>
    findings.some(f => f.name === name && f.value !== false);
  const advice: string[] = [];
  if (!offers(host, 'FUSE mount')) advice.push('Nothing can be mounted; the line "FUSE mount" says why.');
  for (const { path, findings } of directories) {
    const trusted = offers(findings, 'trusted xattrs');
    const options = [trusted ? '' : 'userxattr', offers(findings, 'file handles') ? '' : 'index=off'].filter(
      Boolean,
    );
    const chosen =
      options.length === 0 ? 'the defaults are best' : `${options.join(',')} is what the defaults come to`;
    advice.push(`upperdir in ${path}: ${chosen}.`);
    if (!trusted && !offers(findings, 'user xattrs')) {
      advice.push(`upperdir in ${path}: kernel overlayfs will not read it, for want of extended attributes.`);
    }
    if (!offers(findings, 'reflinks'))
      advice.push(`Large lower files in ${path}: XFS or btrfs would copy them up at once.`);
  }
  return advice;
}
