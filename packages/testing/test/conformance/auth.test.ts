import { expect } from 'vitest'
import { conform, endOf, eventsOf, keysOf, refusal, since } from './conform.ts'

const from35 = since('3.5')

const noUser = refusal(3, 'user name is empty')
const denied = refusal(7, 'permission denied')
const badToken = refusal(16, 'invalid auth token')
const failed = refusal(3, 'authentication failed, invalid user ID or password')

conform(
  'Authentication',
  (test, etcd) => {
    const login = async (name: string, password = name) =>
      (await etcd.call('Authenticate', { name, password })).token as string
    const inside = '/services/a'
    const prefix = { key: '/services/', range_end: endOf('/services/') }
    const put = { key: inside, value: 'x' }

    test('a login gives a token, a new one each time', async () => {
      const [one, other] = [await login('writer'), await login('writer')]
      expect(one).not.toBe('')
      expect(other).not.toBe(one)
      await etcd.call('Put', put, one)
      await etcd.call('Put', put, other)
    })

    test('a wrong password and an unknown user are refused alike', async () => {
      await expect(login('writer', 'wrong')).rejects.toMatchObject(failed)
      await expect(login('writer', '')).rejects.toMatchObject(failed)
      await expect(login('stranger', 'wrong')).rejects.toMatchObject(failed)
    })

    test('without a token nothing can be read or written', async () => {
      await expect(etcd.call('Put', put)).rejects.toMatchObject(noUser)
      await expect(etcd.call('Range', { key: inside })).rejects.toMatchObject(noUser)
      await expect(etcd.call('DeleteRange', { key: inside })).rejects.toMatchObject(noUser)
      await expect(etcd.call('Txn', { success: [{ request_put: put }] })).rejects.toMatchObject(noUser)
    })

    test('a request that is wrong is refused for that first', async () => {
      await expect(etcd.call('Put', {})).rejects.toMatchObject(refusal(3, 'key is not provided'))
      await expect(etcd.call('Range', { key: inside, revision: 99_999 })).rejects.toMatchObject(noUser)
    })

    test('a token that is none is refused', async () => {
      await expect(etcd.call('Put', put, 'none.1')).rejects.toMatchObject(badToken)
      await expect(etcd.call('Range', { key: inside }, 'none.1')).rejects.toMatchObject(badToken)
      await expect(etcd.call('LeaseGrant', { TTL: 60 }, 'none.1')).rejects.toMatchObject(badToken)
    })

    const granted = async () => (await etcd.call('LeaseGrant', { TTL: 60 }, await login('root'))).ID as string
    /** What a renewal is answered, or how its stream ends. */
    const renew = (ID: string, token?: string) => {
      const stream = etcd.stream('LeaseKeepAlive', token)
      stream.send({ ID })
      return stream.next()
    }
    /** Holds in versions that look at who asks, in others all is answered. */
    const guarded = (answer: object, refused: object) => (from35 ? refused : answer)

    test(`a lease is granted, kept and listed ${from35 ? 'only with' : 'also without'} a token`, async () => {
      const ID = await granted()
      for (const [token, refused] of [
        [undefined, noUser],
        ['none.1', badToken],
      ] as const) {
        expect(await renew(ID, token)).toMatchObject(guarded({ ID, TTL: '60' }, refused))
        for (const [rpc, request] of [
          ['LeaseLeases', {}],
          ['LeaseTimeToLive', { ID }],
          ['LeaseTimeToLive', { ID, keys: true }],
          ['LeaseTimeToLive', { ID: 4711 }],
        ] as const) {
          const answer = etcd.call(rpc, request, token)
          if (from35) await expect(answer, rpc).rejects.toMatchObject(refused)
          else await answer
        }
      }
      const grant = etcd.call('LeaseGrant', { TTL: 60 })
      if (from35) await expect(grant).rejects.toMatchObject(noUser)
      else await grant
      await expect(etcd.call('LeaseGrant', { TTL: 60 }, 'none.1')).rejects.toMatchObject(badToken)
      await expect(etcd.call('LeaseRevoke', { ID: 4711 }, 'none.1')).rejects.toMatchObject(badToken)
      await expect(etcd.call('LeaseRevoke', { ID: 4711 })).rejects.toMatchObject(
        guarded(refusal(5, 'requested lease not found'), noUser),
      )
    })

    test(`a lease is kept ${from35 ? 'only by who may write' : 'by anybody, whatever'} all that hangs on it`, async () => {
      const [ID, reader, writer] = [await granted(), await login('reader'), await login('writer')]
      for (const token of [reader, writer, await login('nobody')]) {
        expect(await renew(ID, token)).toMatchObject({ ID, TTL: '60' })
      }
      expect(await renew('4711', reader)).toMatchObject({ ID: '4711', TTL: '0' })
      await etcd.call('Put', { ...put, lease: ID }, writer)
      expect(await renew(ID, writer)).toMatchObject({ ID, TTL: '60' })
      expect(await renew(ID, reader)).toMatchObject(guarded({ ID, TTL: '60' }, denied))
      await etcd.call('Put', { key: '/other', value: '', lease: ID }, await login('root'))
      expect(await renew(ID, writer)).toMatchObject(guarded({ ID, TTL: '60' }, denied))
      expect(await renew(ID, await login('root'))).toMatchObject({ ID, TTL: '60' })
      await etcd.call('LeaseRevoke', { ID }, await login('root'))
    })

    test(`what hangs on a lease is told ${from35 ? 'only to who may read it' : 'to anybody'}`, async () => {
      const [ID, reader, root] = [await granted(), await login('reader'), await login('root')]
      await etcd.call('Put', { ...put, lease: ID }, root)
      await etcd.call('LeaseTimeToLive', { ID, keys: true }, reader)
      await etcd.call('LeaseLeases', {}, reader)
      await etcd.call('Put', { key: '/other', value: '', lease: ID }, root)
      await etcd.call('LeaseTimeToLive', { ID }, reader)
      for (const [rpc, request] of [
        ['LeaseTimeToLive', { ID, keys: true }],
        ['LeaseLeases', {}],
      ] as const) {
        const answer = etcd.call(rpc, request, reader)
        if (from35) await expect(answer, rpc).rejects.toMatchObject(denied)
        else await answer
        await etcd.call(rpc, request, root)
      }
      await etcd.call('LeaseRevoke', { ID }, root)
    })

    test(`a right that is taken away ${from35 ? 'ends' : 'does not end'} the stream of renewals that needs it`, async () => {
      const [ID, writer, root] = [await granted(), await login('writer'), await login('root')]
      await etcd.call('Put', { ...put, lease: ID }, writer)
      const stream = etcd.stream('LeaseKeepAlive', writer)
      stream.send({ ID })
      expect(await stream.next()).toMatchObject({ ID, TTL: '60' })
      await etcd.call('UserRevokeRole', { name: 'writer', role: 'writer' }, root)
      stream.send({ ID })
      expect(await stream.next()).toMatchObject(guarded({ ID, TTL: '60' }, denied))
      await etcd.call('UserGrantRole', { user: 'writer', role: 'writer' }, root)
      await etcd.call('LeaseRevoke', { ID }, root)
    })

    test('a lease with keys is revoked only by who may write them', async () => {
      const ID = await granted()
      await etcd.call('Put', { ...put, lease: ID }, await login('writer'))
      await expect(etcd.call('LeaseRevoke', { ID })).rejects.toMatchObject(noUser)
      await expect(etcd.call('LeaseRevoke', { ID }, await login('reader'))).rejects.toMatchObject(denied)
      await etcd.call('LeaseRevoke', { ID }, await login('writer'))
    })

    test('a key is put on a lease only by who may write all that hangs on it', async () => {
      const ID = await granted()
      await etcd.call('Put', { key: '/other', value: '', lease: ID }, await login('root'))
      await expect(etcd.call('Put', { ...put, lease: ID }, await login('writer'))).rejects.toMatchObject(
        denied,
      )
    })

    test('a user may touch its prefix and nothing else', async () => {
      const token = await login('writer')
      await etcd.call('Put', put, token)
      await etcd.call('Range', prefix, token)
      for (const key of ['/services', '/services0', '/other']) {
        await expect(etcd.call('Put', { key, value: '' }, token)).rejects.toMatchObject(denied)
        await expect(etcd.call('Range', { key }, token)).rejects.toMatchObject(denied)
      }
      await expect(etcd.call('Range', { ...prefix, range_end: '/t' }, token)).rejects.toMatchObject(denied)
      await expect(etcd.call('Range', { key: '\0', range_end: '\0' }, token)).rejects.toMatchObject(denied)
    })

    test('a reader may read and not write, a writer-only the other way round', async () => {
      const [reader, blind] = [await login('reader'), await login('blind')]
      await etcd.call('Range', prefix, reader)
      await expect(etcd.call('Put', put, reader)).rejects.toMatchObject(denied)
      await expect(etcd.call('DeleteRange', { key: inside }, reader)).rejects.toMatchObject(denied)
      await etcd.call('Put', put, blind)
      await expect(etcd.call('Range', { key: inside }, blind)).rejects.toMatchObject(denied)
      await expect(etcd.call('Put', { ...put, prev_kv: true }, blind)).rejects.toMatchObject(denied)
      await expect(etcd.call('DeleteRange', { key: inside, prev_kv: true }, blind)).rejects.toMatchObject(
        denied,
      )
    })

    test('a user without a role may do nothing', async () => {
      const token = await login('nobody')
      await expect(etcd.call('Range', { key: inside }, token)).rejects.toMatchObject(denied)
      await expect(etcd.call('Put', put, token)).rejects.toMatchObject(denied)
    })

    test('a transaction needs permission for each of its parts, whether carried out or not', async () => {
      const token = await login('reader')
      const request_range = { key: inside }
      const compare = { key: inside, target: 'Version', result: 'Equal', version: 99 }
      await etcd.call('Txn', { compare: [compare], success: [{ request_range }] }, token)
      for (const request of [
        { compare: [{ ...compare, key: '/other' }] },
        { success: [{ request_put: put }] },
        { compare: [compare], success: [{ request_delete_range: { key: inside } }] },
      ]) {
        await expect(etcd.call('Txn', request, token)).rejects.toMatchObject(denied)
      }
    })

    test('a watch within the prefix is created, one beyond it is refused', async () => {
      const token = await login('reader')
      const { stream, created } = await etcd.watch(prefix, token)
      expect(created).toMatchObject({ created: true, canceled: false })
      await etcd.call('Put', put, await login('writer'))
      expect(eventsOf(await stream.next())).toEqual(['PUT /services/a=x'])
      const beyond = await etcd.watch({ key: '/', range_end: '0', watch_id: 7 }, token)
      expect(beyond.created).toMatchObject({
        ...{ created: true, canceled: true, watch_id: '-1' },
        cancel_reason: 'rpc error: code = PermissionDenied desc = etcdserver: permission denied',
      })
    })

    test.each([
      ['no token', undefined, 'InvalidArgument desc = etcdserver: user name is empty'],
      ['a token that is none', 'none.1', 'Unauthenticated desc = etcdserver: invalid auth token'],
    ])('a watch with %s is refused with the reason', async (_, token, reason) => {
      const { created } = await etcd.watch({ ...prefix, watch_id: 7 }, token)
      expect(created).toMatchObject({
        ...{ created: true, canceled: true, watch_id: '-1' },
        cancel_reason: `rpc error: code = ${reason}`,
      })
    })

    test('root may do everything', async () => {
      const token = await login('root')
      await etcd.call('Put', { key: '/other', value: '' }, token)
      expect(keysOf(await etcd.call('Range', { key: '/other' }, token))).toEqual(['/other'])
      expect((await etcd.call('UserList', {}, token)).users).toContain('writer')
    })

    test('only root may manage users and roles', async () => {
      const token = await login('writer')
      for (const [rpc, request] of [
        ['UserAdd', { name: 'x', password: 'x' }],
        ['UserDelete', { name: 'reader' }],
        ['UserChangePassword', { name: 'reader', password: 'x' }],
        ['UserGrantRole', { user: 'nobody', role: 'writer' }],
        ['UserRevokeRole', { name: 'reader', role: 'reader' }],
        ['UserList', {}],
        ['UserGet', { name: 'reader' }],
        ['RoleAdd', { name: 'x' }],
        ['RoleDelete', { role: 'reader' }],
        ['RoleList', {}],
        ['RoleGet', { role: 'reader' }],
        ['RoleGrantPermission', { name: 'writer', perm: { permType: 'Read', ...prefix } }],
        ['RoleRevokePermission', { role: 'reader', ...prefix }],
        ['AuthDisable', {}],
      ] as const) {
        await expect(etcd.call(rpc, request, token), rpc).rejects.toMatchObject(denied)
        await expect(etcd.call(rpc, request), rpc).rejects.toMatchObject(noUser)
      }
    })

    test('a user may look at itself and its own roles', async () => {
      const token = await login('reader')
      expect((await etcd.call('UserGet', { name: 'reader' }, token)).roles).toEqual(['reader'])
      const { perm } = await etcd.call('RoleGet', { role: 'reader' }, token)
      expect(perm).toEqual([
        { permType: 'Read', key: Buffer.from('/services/'), range_end: Buffer.from('/services0') },
      ])
    })

    test(`status and members are told to ${from35 ? 'users only' : 'anybody, whatever the token'}`, async () => {
      for (const rpc of ['Status', 'MemberList']) {
        await etcd.call(rpc, {}, await login('nobody'))
        for (const [token, refused] of [
          [undefined, noUser],
          ['none.1', badToken],
        ] as const) {
          const answer = etcd.call(rpc, {}, token)
          if (from35) await expect(answer, rpc).rejects.toMatchObject(refused)
          else await answer
        }
      }
    })

    test(`alarms are told to ${from35 ? 'users only' : 'anybody but who has a wrong token'}`, async () => {
      await etcd.call('Alarm', {}, await login('nobody'))
      const answer = etcd.call('Alarm')
      if (from35) await expect(answer).rejects.toMatchObject(noUser)
      else await answer
      await expect(etcd.call('Alarm', {}, 'none.1')).rejects.toMatchObject(
        from35 ? badToken : { code: 2, details: 'auth: invalid auth token' },
      )
    })

    test(`only root may defragment, and the refusal ${since('3.6') ? 'is' : 'is not'} of the kind of others`, async () => {
      const [writer, root] = [await login('writer'), await login('root')]
      for (const [token, code, text] of [
        [writer, 7, 'permission denied'],
        [undefined, 3, 'user name is empty'],
        ['none.1', 16, 'invalid auth token'],
      ] as const) {
        await expect(etcd.call('Defragment', {}, token)).rejects.toMatchObject(
          since('3.6') ? refusal(code, text) : { code: 2, details: `auth: ${text}` },
        )
      }
      await etcd.call('Defragment', {}, root)
    })

    test(`${from35 ? 'only root' : 'anybody without a wrong token'} may compact`, async () => {
      const [writer, root] = [await login('writer'), await login('root')]
      const future = refusal(11, 'mvcc: required revision is a future revision')
      const compact = (token?: string) => etcd.call('Compact', { revision: 999_999 }, token)
      await expect(compact(root)).rejects.toMatchObject(future)
      await expect(compact(writer)).rejects.toMatchObject(guarded(future, denied))
      await expect(compact()).rejects.toMatchObject(guarded(future, noUser))
      await expect(compact('none.1')).rejects.toMatchObject(badToken)
    })

    test(`whether it is on is told to ${since('3.7') ? 'anybody' : from35 ? 'root' : 'nobody'}`, async () => {
      const [writer, root] = [await login('writer'), await login('root')]
      const status = (token?: string) => etcd.call('AuthStatus', {}, token)
      if (!from35) {
        await expect(status(root)).rejects.toMatchObject({
          code: 12,
          details: 'unknown method AuthStatus for service etcdserverpb.Auth',
        })
        return
      }
      const { enabled, authRevision } = await status(root)
      expect(enabled).toBe(true)
      await etcd.call('RoleAdd', { name: 'one-more' }, root)
      await etcd.call('RoleDelete', { role: 'one-more' }, root)
      expect(Number((await status(await login('root'))).authRevision)).toBe(Number(authRevision) + 2)
      await expect(status('none.1')).rejects.toMatchObject(badToken)
      for (const [token, refused] of [
        [undefined, noUser],
        [writer, denied],
      ] as const) {
        const answer = status(token)
        if (since('3.7')) expect((await answer).enabled).toBe(true)
        else await expect(answer).rejects.toMatchObject(refused)
      }
    })

    test(`a nested transaction ${from35 ? 'needs' : 'does not need'} permission for what it does`, async () => {
      const nested = {
        success: [{ request_txn: { success: [{ request_put: { key: '/nested', value: '' } }] } }],
      }
      const answer = etcd.call('Txn', nested, await login('writer'))
      if (from35) await expect(answer).rejects.toMatchObject(denied)
      else await answer
    })

    test(`a put within a transaction ${from35 ? 'needs' : 'does not need'} permission to read for prev_kv, and to write for a lease with keys`, async () => {
      const [ID, writer, root] = [await granted(), await login('writer'), await login('root')]
      await etcd.call('Put', { key: '/other', value: '', lease: ID }, root)
      for (const [token, more] of [
        [await login('blind'), { prev_kv: true }],
        [writer, { lease: ID }],
      ] as const) {
        const answer = etcd.call('Txn', { success: [{ request_put: { ...put, ...more } }] }, token)
        if (from35) await expect(answer).rejects.toMatchObject(denied)
        else await answer
      }
      await etcd.call('LeaseRevoke', { ID }, root)
    })

    test(`a watch of all keys from one on needs permission for ${from35 ? 'all of them' : 'the first'}`, async () => {
      const { created } = await etcd.watch({ key: inside, range_end: '\0' }, await login('reader'))
      expect(created.canceled).toBe(from35)
    })

    test('an end that is sent but empty needs permission for the key alone, whatever is read then', async () => {
      const [reader, root] = [await login('reader'), await login('root')]
      await etcd.call('Put', { key: '/services0', value: '' }, root)
      await etcd.call('Put', put, root)
      const { count } = await etcd.call('Range', { key: inside, range_end: '' }, reader)
      if (since('3.7')) expect(count).toBe('1')
      else expect(Number(count)).toBeGreaterThan(1)
    })

    test('a range that ends before it starts needs permission for its start', async () => {
      const token = await login('reader')
      const read = (key: string, range_end: string) => etcd.call('Range', { key, range_end }, token)
      expect((await read('/services/b', '/services/a')).count).toBe('0')
      expect((await read('/services/b', '/a')).count).toBe('0')
      await expect(read('/z', '/services/a')).rejects.toMatchObject(denied)
      await expect(read('/z', '/a')).rejects.toMatchObject(denied)
    })

    test('a permission for one key and one for all between that and another add up', async () => {
      const root = await login('root')
      await etcd.call('UserAdd', { name: 'points', password: 'points' }, root)
      await etcd.call('RoleAdd', { name: 'points' }, root)
      await etcd.call('UserGrantRole', { user: 'points', role: 'points' }, root)
      const allow = (key: string, range_end?: string) =>
        etcd.call('RoleGrantPermission', { name: 'points', perm: { permType: 'Read', key, range_end } }, root)
      await allow('p')
      await allow('p\0', 'q')
      const token = await login('points')
      await etcd.call('Range', { key: 'p', range_end: 'q' }, token)
      await etcd.call('Range', { key: 'p', range_end: 'pa' }, token)
      await expect(etcd.call('Range', { key: 'o', range_end: 'q' }, token)).rejects.toMatchObject(denied)
    })

    test.runIf(from35)('a permission has to be given, for a range that can have keys', async () => {
      const root = await login('root')
      const allow = (perm?: object) => etcd.call('RoleGrantPermission', { name: 'reader', perm }, root)
      await expect(allow()).rejects.toMatchObject(refusal(3, 'permission not given'))
      for (const perm of [{}, { key: '' }, { key: 'b', range_end: 'a' }, { key: 'b', range_end: 'b' }]) {
        await expect(allow(perm)).rejects.toMatchObject(refusal(3, 'invalid auth management'))
      }
    })

    test('a request that is wrong is refused for that, whatever the token', async () => {
      await expect(etcd.call('Put', {}, 'none.1')).rejects.toMatchObject(refusal(3, 'key is not provided'))
      await expect(etcd.call('Range', {}, 'none.1')).rejects.toMatchObject(refusal(3, 'key is not provided'))
      await expect(etcd.call('Txn', { success: [{}] }, 'none.1')).rejects.toMatchObject(
        refusal(3, 'key not found'),
      )
      const value = 'x'.repeat(1.6 * 1024 * 1024)
      await expect(etcd.call('Put', { ...put, value }, 'none.1')).rejects.toMatchObject(badToken)
      await expect(etcd.call('Put', { ...put, value })).rejects.toMatchObject(
        refusal(3, 'request is too large'),
      )
    })

    test(`a login ${from35 ? 'does not look' : 'looks last'} at the token that comes along`, async () => {
      const loginWith = (password: string) =>
        etcd.call('Authenticate', { name: 'reader', password }, 'none.1')
      await expect(loginWith('wrong')).rejects.toMatchObject(failed)
      if (from35) await loginWith('reader')
      else await expect(loginWith('reader')).rejects.toMatchObject(badToken)
    })

    test('what is enabled can be enabled again, and a role granted again, and nothing changes', async () => {
      const root = await login('root')
      await etcd.call('AuthEnable', {}, root)
      await etcd.call('UserGrantRole', { user: 'reader', role: 'reader' }, root)
      await etcd.call('Range', prefix, await login('reader'))
    })

    test('a changed password ends the tokens of the user, and no others', async () => {
      const [reader, writer, root] = [await login('reader'), await login('writer'), await login('root')]
      await etcd.call('UserChangePassword', { name: 'reader', password: 'new' }, root)
      await expect(etcd.call('Range', prefix, reader)).rejects.toMatchObject(badToken)
      await etcd.call('Range', prefix, writer)
      await expect(login('reader')).rejects.toMatchObject(failed)
      await login('reader', 'new')
      await etcd.call('UserChangePassword', { name: 'reader', password: 'reader' }, await login('root'))
    })

    test('a role that is granted or revoked counts at once, also for tokens that are older', async () => {
      const [nobody, root] = [await login('nobody'), await login('root')]
      await etcd.call('UserGrantRole', { user: 'nobody', role: 'reader' }, root)
      await etcd.call('Range', prefix, nobody)
      await etcd.call('UserRevokeRole', { name: 'nobody', role: 'reader' }, root)
      await expect(etcd.call('Range', prefix, nobody)).rejects.toMatchObject(denied)
    })

    test('several permissions add up, also over a range that none of them covers alone', async () => {
      const root = await login('root')
      await etcd.call('UserAdd', { name: 'sum', password: 'sum' }, root)
      await etcd.call('RoleAdd', { name: 'sum' }, root)
      await etcd.call('UserGrantRole', { user: 'sum', role: 'sum' }, root)
      const allow = (key: string, range_end: string | undefined) =>
        etcd.call('RoleGrantPermission', { name: 'sum', perm: { permType: 'Read', key, range_end } }, root)
      await allow('m', 'p')
      await allow('k', 'm')
      await allow('z', undefined)
      const token = await login('sum')
      const read = (key: string, range_end?: string) => etcd.call('Range', { key, range_end }, token)
      await read('k', 'p')
      await read('l', 'o')
      await read('z')
      await expect(read('k', 'q')).rejects.toMatchObject(denied)
      await expect(read('za')).rejects.toMatchObject(denied)
      await expect(read('z', 'zz')).rejects.toMatchObject(denied)
      await allow('zz', '\0')
      await read('zzz', '\0')
      await read('zzz', 'zzzz')
      await expect(read('y', '\0')).rejects.toMatchObject(denied)
      await etcd.call('RoleRevokePermission', { role: 'sum', key: 'm', range_end: 'p' }, root)
      await expect(read('k', 'p')).rejects.toMatchObject(denied)
      await read('k', 'm')
    })

    test('what users and roles refuse, they refuse as etcd does', async () => {
      const root = await login('root')
      for (const [rpc, request, expected] of [
        ['UserAdd', { name: 'writer', password: 'x' }, refusal(9, 'user name already exists')],
        ['UserAdd', { password: 'x' }, refusal(3, 'user name is empty')],
        ['UserDelete', { name: 'none' }, refusal(9, 'user name not found')],
        ['UserDelete', { name: 'root' }, refusal(3, 'invalid auth management')],
        ['UserGet', { name: 'none' }, refusal(9, 'user name not found')],
        ['UserChangePassword', { name: 'none', password: 'x' }, refusal(9, 'user name not found')],
        ['UserGrantRole', { user: 'none', role: 'reader' }, refusal(9, 'user name not found')],
        ['UserGrantRole', { user: 'writer', role: 'none' }, refusal(9, 'role name not found')],
        ['UserRevokeRole', { name: 'writer', role: 'none' }, refusal(9, 'role is not granted to the user')],
        ['UserRevokeRole', { name: 'root', role: 'root' }, refusal(3, 'invalid auth management')],
        ['RoleAdd', { name: 'reader' }, refusal(9, 'role name already exists')],
        ['RoleDelete', { role: 'none' }, refusal(9, 'role name not found')],
        ['RoleDelete', { role: 'root' }, refusal(3, 'invalid auth management')],
        ['RoleGet', { role: 'none' }, refusal(9, 'role name not found')],
        [
          'RoleGrantPermission',
          { name: 'none', perm: { permType: 'Read', key: 'a' } },
          refusal(9, 'role name not found'),
        ],
        [
          'RoleRevokePermission',
          { role: 'reader', key: 'a' },
          refusal(9, 'permission is not granted to the role'),
        ],
      ] as const) {
        await expect(
          etcd.call(rpc, request, root),
          `${rpc} ${JSON.stringify(request)}`,
        ).rejects.toMatchObject(expected)
      }
    })

    test('users and roles are listed, and gone once they are deleted', async () => {
      const root = await login('root')
      await etcd.call('UserAdd', { name: 'short-lived', password: 'x' }, root)
      await etcd.call('RoleAdd', { name: 'short-lived' }, root)
      await etcd.call('UserGrantRole', { user: 'short-lived', role: 'short-lived' }, root)
      await etcd.call('RoleDelete', { role: 'short-lived' }, root)
      expect((await etcd.call('UserGet', { name: 'short-lived' }, root)).roles).toEqual([])
      const token = await login('short-lived', 'x')
      await etcd.call('UserDelete', { name: 'short-lived' }, root)
      await expect(etcd.call('Range', { key: 'a' }, token)).rejects.toMatchObject(badToken)
      expect((await etcd.call('UserList', {}, root)).users).not.toContain('short-lived')
      expect((await etcd.call('RoleList', {}, root)).roles).not.toContain('short-lived')
    })

    test('a user without a password cannot log in', async () => {
      await etcd.call('UserAdd', { name: 'certificate', options: { no_password: true } }, await login('root'))
      const details = 'auth: authentication failed, password was given for no password user'
      await expect(login('certificate', '')).rejects.toMatchObject({ code: 2, details })
    })

    test('once it is disabled everybody may do everything, and nobody can log in', async () => {
      const root = await login('root')
      await etcd.call('AuthDisable', {}, root)
      await etcd.call('Put', put)
      const off = refusal(9, 'authentication is not enabled')
      await expect(login('writer')).rejects.toMatchObject(off)
      const again = etcd.call('Authenticate', { name: 'writer', password: 'writer' }, root)
      await expect(again).rejects.toMatchObject(off)
      await etcd.call('AuthDisable')
      await etcd.call('AuthEnable')
      await expect(etcd.call('Put', put)).rejects.toMatchObject(noUser)
      await expect(etcd.call('Put', put, root)).rejects.toMatchObject(badToken)
    })
  },
  {
    auth: {
      rootPassword: 'root',
      users: [
        { name: 'writer', password: 'writer', role: { prefix: '/services/', permission: 'readwrite' } },
        { name: 'reader', password: 'reader', role: { prefix: '/services/', permission: 'read' } },
        { name: 'blind', password: 'blind', role: { prefix: '/services/', permission: 'write' } },
        { name: 'nobody', password: 'nobody' },
      ],
    },
  },
)

conform('Authentication that is off', (test, etcd) => {
  test('it cannot be enabled without a user root that has the role root', async () => {
    await expect(etcd.call('AuthEnable')).rejects.toMatchObject(refusal(9, 'root user does not exist'))
    await etcd.call('UserAdd', { name: 'root', password: 'root' })
    await expect(etcd.call('AuthEnable')).rejects.toMatchObject(
      refusal(9, 'root user does not have root role'),
    )
    await etcd.call('UserDelete', { name: 'root' })
  })

  test(`a token is ${from35 ? 'not looked at' : 'refused, since there is none'}`, async () => {
    const answer = etcd.call('Put', { key: 'a', value: '' }, 'none.1')
    if (from35) await answer
    else await expect(answer).rejects.toMatchObject(badToken)
    await etcd.call('Put', { key: 'a', value: '' })
  })

  test('nobody can log in', async () => {
    await expect(etcd.call('Authenticate', { name: 'a', password: 'b' })).rejects.toMatchObject(
      refusal(9, 'authentication is not enabled'),
    )
  })
})
