/** What the machine is: Node, processor, memory, descriptors, clock. Pure. */
import { formatBytes } from '../base/units.ts'
import type { ClockFacts, MachineFacts } from './facts.ts'
import { fail, type Finding, ok, warn } from './finding.ts'
import {
  clockBackMs,
  clockJumpMs,
  descriptorsFail,
  descriptorsWarn,
  memoryFailBytes,
  memoryWarnBytes,
  nodeMin,
  wallMinMs
} from './limits.ts'

export function machineFindings({ node, engine, memory, descriptors }: MachineFacts): Finding[] {
  return [nodeFinding(node), engineFinding(engine), memoryFinding(memory), descriptorsFinding(descriptors)]
}

function nodeFinding(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const isNew = major > nodeMin[0] || (major === nodeMin[0] && minor >= nodeMin[1])
  if (isNew) return ok('node', `Node ${version}`)
  return fail('node', `Node is ${version}`, `Install Node ${nodeMin.join('.')} or newer.`)
}

function engineFinding(engine: MachineFacts['engine']): Finding {
  if ('problem' in engine) {
    return fail(
      'processor',
      `The engine cannot compute here: ${engine.problem}`,
      'Run the peer where the processor has SIMD (x64 with SSE4.1, or arm64) and Node uses it, or with --memory 0: it then asks others and computes nothing.'
    )
  }
  const { numericClass, isExpected, isRelaxed } = engine
  if (!isExpected) {
    return warn(
      'processor',
      `The engine's self-test gives class ${numericClass}, which no other machine has: its answers may differ from theirs`,
      'Update Node; if that does not help, report the processor with this class.'
    )
  }
  const simd = isRelaxed ? 'SIMD with products of bytes' : 'SIMD without products of bytes, which is slower'
  return ok('processor', `The engine computes here, with the bits of every machine (class ${numericClass}): ${simd}`)
}

function memoryFinding({ totalBytes, availableBytes, limitBytes }: MachineFacts['memory']): Finding {
  const isLimited = limitBytes !== undefined && limitBytes < totalBytes
  const bytes = Math.min(availableBytes ?? totalBytes, limitBytes ?? Number.POSITIVE_INFINITY)
  const of = isLimited
    ? `control groups allow ${formatBytes(limitBytes)} of ${formatBytes(totalBytes)}`
    : `of ${formatBytes(totalBytes)}`
  const free = availableBytes === undefined ? '' : `${formatBytes(availableBytes)} of memory are free, `
  const found = `${free}${of}`
  const todo = isLimited
    ? 'Raise the limit of the container or unit (memory.max, MemoryMax), or start the peer with a small --memory.'
    : 'End what takes the memory, or start the peer with a small --memory; 0 holds no layers.'
  if (bytes < memoryFailBytes) return fail('memory', found, todo)
  return bytes < memoryWarnBytes ? warn('memory', found, todo) : ok('memory', found)
}

function descriptorsFinding(limit: number | undefined): Finding {
  if (limit === undefined) return ok('descriptors', 'No limit on open files is known')
  const found = `This process may have ${limit} files open`
  const todo = `Raise the limit to ${descriptorsWarn} or more: ulimit -n, or LimitNOFILE in a unit.`
  if (limit < descriptorsFail) return fail('descriptors', found, todo)
  return limit < descriptorsWarn ? warn('descriptors', found, todo) : ok('descriptors', found)
}

export function clockFinding({ wallMs, jumpMs, newestFileMs }: ClockFacts): Finding {
  const shown = new Date(wallMs).toISOString().slice(0, 16).replace('T', ' ')
  const todo = 'Set the clock (timedatectl set-time, or a time server), or give the machine a clock with a battery.'
  if (wallMs < wallMinMs) {
    return fail('clock', `The clock says ${shown} UTC, before this version of Skein was made`, todo)
  }
  if (newestFileMs !== undefined && newestFileMs - wallMs > clockBackMs) {
    const minutes = Math.round((newestFileMs - wallMs) / 60_000)
    return warn('clock', `The clock says ${shown} UTC, and files of this peer are ${minutes} minutes newer`, todo)
  }
  if (Math.abs(jumpMs) > clockJumpMs) {
    return warn(
      'clock',
      `The clock jumped by ${Math.round(jumpMs)} ms while the doctor looked`,
      'See what sets it: two time services at once, or a virtual machine that corrects its clock in jumps.'
    )
  }
  return ok('clock', `The clock says ${shown} UTC and did not jump`)
}
