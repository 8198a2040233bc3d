/**
 * Which models of a store give way where a disk budget needs room: an empty file beside the manifest says so. A model without
 * one is kept: a person imported it, or it is from before there were budgets.
 */
import path from 'node:path'
import { rm, writeFile } from '../disk/files.ts'
import { names } from './store-files.ts'

const end = '.gives-way'

/** Ids of the models that give way. */
export async function givingWay(own: string): Promise<ReadonlySet<string>> {
  const marks = (await names(path.join(own, 'manifests'))).filter(name => name.endsWith(end))
  return new Set(marks.map(name => name.slice(0, -end.length)))
}

/** Has a model give way, or be kept, from now on. Its folder of manifests is there. */
export async function setGivesWay(own: string, id: string, givesWay: boolean): Promise<void> {
  const mark = path.join(own, 'manifests', `${id}${end}`)
  if (givesWay) await writeFile(mark, '')
  else await rm(mark, { force: true })
}

/** Removes marks of models that are not here. */
export async function sweepMarks(own: string): Promise<void> {
  const here = new Set(await names(path.join(own, 'manifests')))
  for (const id of await givingWay(own)) if (!here.has(`${id}.json`)) await setGivesWay(own, id, false)
}
