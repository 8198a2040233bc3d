/** What lies on the disk: data directory, identity, room, swarm file. Pure. */
import { formatBytes } from '../base/units.ts'
import type { FilesFacts } from './facts.ts'
import { fail, type Finding, ok, warn } from './finding.ts'
import { diskFailBytes, diskWarnBytes } from './limits.ts'

/** How the peer of the data directory answered: it `runs`, there is `none`, or it does not answer, and why. */
export type Answering = 'runs' | 'none' | { readonly problem: string }

export function filesFindings(facts: FilesFacts, answering: Answering): Finding[] {
  return [dataFinding(facts, answering), ...identityFindings(facts), ...diskFindings(facts), ...swarmFindings(facts)]
}

function dataFinding({ dataDir, data, owner }: FilesFacts, answering: Answering): Finding {
  if (typeof data === 'object') {
    return fail('data', `The data directory cannot be used: ${data.problem}`, 'Mend it, or name another one: --data.')
  }
  if (answering === 'runs') return ok('data', `A peer runs on ${dataDir} and answers`)
  if (typeof answering === 'object' && /control version/.test(answering.problem)) {
    return fail('versions', capital(answering.problem), 'Use one version of Skein for the peer and for its commands.')
  }
  if (owner !== undefined) {
    const how = typeof answering === 'object' ? `: ${answering.problem}` : ''
    return fail(
      'data',
      `Process ${owner} has ${dataDir} and does not answer${how}`,
      `End it (kill ${owner}, and kill -9 ${owner} if it stays), then start the peer again.`
    )
  }
  if (typeof answering === 'object') {
    return fail(
      'data',
      `The control socket in ${dataDir} gives no answer: ${answering.problem}`,
      'Ask as the user that runs the peer; if none runs, remove control.sock there.'
    )
  }
  return ok('data', data === 'absent' ? `${dataDir} is not there yet: skein up makes it` : `No peer runs on ${dataDir}`)
}

function identityFindings({ identity }: FilesFacts): Finding[] {
  if (identity === undefined) return [ok('identity', 'There is no identity yet: the first start makes one')]
  if (typeof identity === 'string') return [ok('identity', `The identity is readable: ${identity}`)]
  return [
    fail(
      'identity',
      `The identity cannot be used: ${identity.problem}`,
      'Restore identity.key from a copy, or delete it: the peer then has a new identity.'
    )
  ]
}

function diskFindings({ data, freeBytes, unwritable }: FilesFacts): Finding[] {
  // It is told of already.
  if (typeof data === 'object') return []
  if (unwritable !== undefined) {
    return [
      fail('disk', `Nothing can be written to the data directory: ${unwritable}`, diskTodo(unwritable, freeBytes))
    ]
  }
  if (freeBytes === undefined) return [ok('disk', 'The disk can be written to; how much is free it does not say')]
  const found = `${formatBytes(freeBytes)} are free on the disk of the data directory`
  const todo = 'Make room: skein model ls and skein model rm show and remove models, --disk limits them.'
  if (freeBytes < diskFailBytes) return [fail('disk', found, todo)]
  return [freeBytes < diskWarnBytes ? warn('disk', found, todo) : ok('disk', found)]
}

function diskTodo(reason: string, freeBytes: number | undefined): string {
  if (/disk is full|quota/.test(reason) || freeBytes === 0) {
    return 'Make room: skein model rm NAME removes a model, or name a directory on another disk with --data.'
  }
  if (/read-only/.test(reason)) return 'Mount it for writing, or name a directory on another disk with --data.'
  return "Make it the user's own (chown), or name another directory with --data."
}

function swarmFindings({ swarm, open }: FilesFacts): Finding[] {
  const exposed = open.map(sentence => {
    const [, found = sentence, mode = '600'] = /^(.*): chmod (\d+) closes it$/s.exec(sentence) ?? []
    return warn('swarm', capital(found), `Close it: chmod ${mode}.`)
  })
  if (swarm === undefined) {
    return [
      ...exposed,
      ok('swarm', 'No swarm file was named: with --swarm FILE peers of that swarm are looked for, too')
    ]
  }
  if ('problem' in swarm) {
    return [
      ...exposed,
      fail('swarm', swarm.problem, 'Copy the file again from a peer of the swarm, or make a new swarm with skein init.')
    ]
  }
  return [...exposed, ok('swarm', `${swarm.file} is the file of swarm ${swarm.name}`)]
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
