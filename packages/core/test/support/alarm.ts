import type { EtcdMember } from '@etcd-register/testing'
import { expect } from 'vitest'

/** An alarm, over etcd's JSON gateway: etcdctl can only end an alarm. */
export async function raiseAlarm(
  etcd: EtcdMember,
  action: 'ACTIVATE' | 'DEACTIVATE',
  alarm: 'CORRUPT' | 'NOSPACE' = 'CORRUPT',
): Promise<void> {
  const post = async (path: string, body: object) => {
    const response = await fetch(`${etcd.endpoint}/v3/${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
    })
    expect(response.status).toBe(200)
    return response.json()
  }
  const { header } = (await post('maintenance/status', {})) as { header: { member_id: string } }
  await post('maintenance/alarm', { action, memberID: header.member_id, alarm })
}
