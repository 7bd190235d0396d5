// What a run was measured on, in words: the processor, the memory, the kernel, the file system below it, and versions.
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { sh, TOP } from './shell.js';
import type { Suite } from './suite.js';

function commit(): string {
  const head = 'git rev-parse --short HEAD 2>/dev/null || :';
  const dirty = 'git status --porcelain --untracked-files=no 2>/dev/null || :';
  const name = sh(head, TOP).trim();
  if (name === '') return '';
  return ` (${name}${sh(dirty, TOP).trim() === '' ? '' : ' and changes'})`;
}

/** The line of `text` that begins with `key`, behind its colon. */
const field = (text: string, key: string): string =>
  new RegExp(`^${key}\\s*:\\s*(.*)$`, 'm').exec(text)?.[1] ?? '';

export function describeMachine(dir: string, suites: readonly Suite[]): Record<string, string> {
  const info = readFileSync('/proc/cpuinfo', 'utf8');
  const virtual = / hypervisor /.test(info) ? ', virtual' : '';
  const { version } = JSON.parse(readFileSync(`${TOP}/package.json`, 'utf8')) as { version: string };
  const words: Record<string, string> = {
    processor: `${cpus().length} × ${cpus()[0]?.model ?? field(info, 'Processor')}${virtual}`,
    memory: `${(totalmem() / 2 ** 30).toFixed(0)} GiB`,
    kernel: `Linux ${release()}`,
    filesystem: `${sh('findmnt -n -o FSTYPE,SOURCE -T .', dir).trim().split(/\s+/).join(' of ')}; mounts and engines on fresh ext4 images there`,
    node: process.version,
    laminafs: `${version}${commit()}`,
    tools: sh('{ fio --version; mke2fs -V 2>&1 | head -n 1 | cut -d" " -f1,2; } 2>/dev/null || :')
      .trim()
      .replaceAll('\n', ', '),
  };
  for (const subject of suites.flatMap(suite => suite.subjects())) {
    if (subject.version !== undefined) words[subject.name] = subject.version;
  }
  return words;
}
