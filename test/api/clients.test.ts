/**
 * The clients that people have, as they are, before real peers and over a real port: what each is told is what the peer says to a program
 * that embeds it.
 */
import { describe } from 'vitest'
import { needs } from '../needs.ts'
import { clientFlock } from './client-flock.ts'
import { aiSdk } from './clients/ai-sdk.ts'
import { openaiForNode } from './clients/openai-node.ts'
import { openaiForPython, whyNoPythonClient } from './clients/openai-python.ts'

const flock = clientFlock('clients')

describe("Vercel's AI SDK", () => aiSdk(flock))
describe("OpenAI's client for Python", needs(whyNoPythonClient), () => openaiForPython(flock))
// Last, as it loses a peer.
describe("OpenAI's client for Node", () => openaiForNode(flock))
