// Builds the peers, and prints the paths of their programs: `node scripts/build-peers.mjs`.
import { peerBinary, peers } from './peer-binary.mjs'

for (const peer of peers) console.log(peerBinary(peer))
