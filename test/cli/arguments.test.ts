// Which command the words call, and that words reach it as the bytes they were.
import { spawnSync } from 'node:child_process';
import t from 'tap';
import { findCall } from '../../src/cli/arguments.js';
import { COMMANDS } from '../../src/cli/commands.js';
import { columns } from '../../src/cli/output.js';
import { lamina, MAIN } from './run.js';

const NAMES = COMMANDS.map(row => row.name);

t.test('the command', async t => {
  const rows: [words: string, command: string | null, rest: string][] = [
    ['mount -o a=b /mnt', 'mount', '-o a=b /mnt'],
    ['mount /mnt -o a=b', 'mount', '/mnt -o a=b'],
    ['-o a=b /mnt', 'mount', '-o a=b /mnt'],
    ['-oa=b /mnt', 'mount', '-oa=b /mnt'],
    ['--options=a=b /mnt', 'mount', '--options=a=b /mnt'],
    ['/mnt -o a=b', 'mount', '/mnt -o a=b'],
    ['lamina /mnt -o a=b', 'mount', 'lamina /mnt -o a=b'],
    ['src /mnt -o a=b -o c', 'mount', 'src /mnt -o a=b -o c'],
    ['-f -o a=b /mnt', 'mount', '-f -o a=b /mnt'],
    ['demo /mnt -o rw,a=b', 'mount', 'demo /mnt -o rw,a=b'],
    ['umount /mnt -o rw,a=b', 'mount', 'umount /mnt -o rw,a=b'],
    ['umount /mnt', 'umount', '/mnt'],
    ['umount -l /mnt', 'umount', '-l /mnt'],
    ['layer diff /u -o out.tar', 'layer', 'diff /u -o out.tar'],
    ['layer diff /u --tar -o out.tar', 'layer', 'diff /u --tar -o out.tar'],
    ['doctor /a /b', 'doctor', '/a /b'],
    ['uomunt /mnt', null, ''],
    ['--version', null, ''],
    ['', null, ''],
  ];
  for (const [words, command, rest] of rows) {
    const list = words === '' ? [] : words.split(' ');
    const expected = command === null ? null : { command, words: rest.split(' ') };
    t.same(findCall(list, NAMES), expected, words);
  }
});

t.test('bytes', async t => {
  const script = 'exec "$0" "$1" umount "$(printf \'/no/\\377\\376/such\')"';
  const { stderr, status } = spawnSync('/bin/sh', ['-c', script, process.execPath, MAIN]);
  t.equal(status, 1);
  t.match(
    stderr.toString(),
    /\/no\/\ufffd\ufffd\/such does not exist/,
    'a name that is not UTF-8 is looked for as it is',
  );
  t.match(lamina(['umount', '/no/Straße']).stderr, /\/no\/Straße does not exist/);
  t.match(
    lamina(['umount', '--Straße']).stderr,
    /unknown option '--Straße'/,
    'what commander says is readable',
  );
});

t.test('version and help', async t => {
  for (const flag of ['--version', '-V'])
    t.same(lamina([flag]), { status: 0, stdout: 'lamina: version 0.1.0\n', stderr: '' });
  const help = lamina(['--help']);
  t.equal(help.status, 0);
  for (const { name, summary } of COMMANDS)
    t.match(help.stdout, new RegExp(`${name} .*${summary}`), `${name} is in the help`);
  for (const name of NAMES) {
    const one = lamina(['help', name]);
    t.equal(one.status, 0, `help ${name}`);
    t.match(one.stdout, new RegExp(`Usage: lamina ${name}`));
    t.equal(lamina([name, '--help']).stdout, one.stdout, `${name} --help is the same`);
  }
  t.match(
    lamina(['help', 'mount']).stdout,
    /lowerdir=TOP:\.\.\.:BOTTOM .*leftmost on top/,
    'help of mount lists the options',
  );
  const none = lamina([]);
  t.equal(none.status, 1);
  t.match(none.stderr, /Usage: lamina/);
});

t.test('columns', async t => {
  t.same(
    columns([
      ['a', 'bb', 'c'],
      ['aaa', 'b', ''],
    ]),
    ['a    bb  c', 'aaa  b'],
  );
});
