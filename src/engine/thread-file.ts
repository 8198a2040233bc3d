/** The file of a thread beside the file that starts it: TypeScript where that runs as it is, else what was built of it. */
export function threadFile(beside: string, name: string): URL {
  return new URL(`./${name}.${beside.endsWith('.ts') ? 'ts' : 'js'}`, beside)
}
