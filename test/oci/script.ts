// Random changes of a small tree, as a shell script, and what of their outcome no layer tells.

/** A shell script of operations on a few names; what cannot be done at the moment fails in silence. */
export class Script {
  private state: number;

  constructor(seed: number) {
    this.state = Math.imul(seed, 2654435761) >>> 0;
  }

  below(limit: number): number {
    this.state = (Math.imul(this.state, 1103515245) + 12345) >>> 0;
    return Math.floor(this.state / 65536) % limit;
  }

  private path(): string {
    return Array.from({ length: 1 + this.below(3) }, () => 'abcd'[this.below(4)]).join('/');
  }

  private operation(): string {
    const [a, b, n] = [this.path(), this.path(), this.below(1000)];
    const operations = [
      ...[`mkdir -p ${a}`, `mkdir ${a}`, `echo ${n} >${a}`, `echo ${n} >>${a}`, `rm -rf ${a}`, `rm -f ${a}`],
      ...[
        `rmdir ${a}`,
        `mv -T ${a} ${b}`,
        `mv ${a} ${b}`,
        `ln ${a} ${b}`,
        `ln -s ${a} ${b}`,
        `cp -a ${a} ${b}`,
      ],
      ...[
        `chmod ${[700, 755, 4755, 600][n % 4]} ${a}`,
        `chown ${n % 5} ${a}`,
        `touch ${a}`,
        `truncate -s ${n * 9} ${a}`,
      ],
      ...[`setfattr -n user.${n % 2 ? 'x' : 'y'} -v ${n % 9} ${a}`, `mknod ${a} c 1 ${n % 2 ? 3 : 5}`],
      ...[`setfacl -m u:${n % 3}:rw ${a}`, `setfacl -d -m u:${n % 3}:rw ${a}`],
      `rm -rf ${a}; mkdir -p ${a}; echo ${n} >${a}/b`,
    ];
    return operations[this.below(operations.length)]!;
  }

  lines(count: number): string {
    return `${Array.from({ length: count }, () => `( ${this.operation()} ) 2>/dev/null || true`).join('\n')}`;
  }
}

/** Times of directories follow from what happens in them, and without any other change no layer has them. */
export function withoutDirectoryTimes(differences: string): string[] {
  return differences.split('\n').filter(line => line !== '' && !/^\.d\.\.t\.{6} /.test(line));
}
