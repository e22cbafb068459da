/* The protocol of the stock, for the model checker Spin: sell, stamp, withdraw, die, repair, keep,
 * return, restock.  One event.  `run`, beside this file, says which configurations are checked, and
 * that each mistake named BUG_... below is found.
 *
 * Granularity.  One transition is one access to shared memory, or one transaction of the ledger.
 * The word (sequence, available), an intent and a slot's state (stamp, claim) are one access each,
 * since each is one 64-bit word in the segment.  Beside each access stands the alternative that the
 * process dies instead of making it.  The fields of an entry are one access together, unless FINE
 * is set: they are written by one process and read by others only after the stamp, which is
 * asserted.  A completion is one access too: its ring's index publishes it.
 *
 * Memory is sequentially consistent here; the memory orders are not what this model is about.
 * Nor are wake-ups: who waits sees a change at once.  Nor is a death of the master, which ends all.
 *
 * Ghosts (g...) are what only the model knows; no decision of the protocol depends on them.
 */

#ifndef WORKERS
#define WORKERS 3
#endif
#ifndef TICKETS
#define TICKETS 2
#endif
#ifndef RING
#define RING 2          /* slots */
#endif
#ifndef REQUESTS
#define REQUESTS 1      /* for each worker's place, whoever lives in it */
#endif
#ifndef DEATHS
#define DEATHS 2        /* of workers */
#endif
#ifndef KEEPER_DEATHS
#define KEEPER_DEATHS 0
#endif
#ifndef REPAIR_DEATHS
#define REPAIR_DEATHS 0 /* repairs cut short and run again */
#endif
#ifndef KEYS
#define KEYS 0          /* requests carry the idempotency key: 0 none, 1 some, 2 all of them */
#endif
#ifndef WITHDRAWALS
#define WITHDRAWALS 1   /* 1: any parked request may reach its deadline at any time */
#endif
#ifndef RESTOCKS
#define RESTOCKS 0      /* requests for one ticket more, one after the other */
#endif
#ifndef QUANTITY_MAX
#define QUANTITY_MAX 2
#endif
#ifndef BATCH
#define BATCH 2         /* entries in one transaction */
#endif
#ifndef FIRST
#define FIRST 254       /* the first sequence: here they have 8 bits, and wrap during the run */
#endif

#define PLACES (WORKERS + 1)    /* the workers' places, then the keeper's */
#define KEEPER WORKERS
#define NOBODY 255

#define SLOT(s)      ((s) % RING)
#define NEXT(s)      (((s) + 1) & 255)
#define DISTANCE(x, y) (((x) - (y)) & 255)
#define BEFORE(x, y) (DISTANCE(x, y) >= 128)    /* signed distance below 0 */
#define STAMPED(s)   (stamp[SLOT(s)] == NEXT(s))
#define UNSTAMPED(s) BEFORE(stamp[SLOT(s)], NEXT(s))

/* ---- The segment ------------------------------------------------------------------------- */

byte word_s, word_a;    /* the word: next sequence, available */
byte durable;           /* published: all sequences before it are in the ledger */

/* The ring.  A quantity is signed and biased, so that a return can be told. */
#define BIAS 8
byte f_quantity[RING], f_before[RING], f_kind[RING], f_owner[RING];

/* Kinds. */
#define SALE   0
#define KEYED  1        /* a sale with the key */
#define RETURN 2
#define VOID   3
#define RESTOCK 4       /* RESTOCK + n is the restock with token n, the first being 1 */

/* The state of a slot, one word: of which sequence it is, and who has decided about that entry. */
byte stamp[RING], claim[RING];
#define OPEN      0
#define TAKEN     1     /* by the keeper: it will be in the ledger as what it is */
#define WITHDRAWN 2     /* by its worker: it will be in the ledger as void */
#ifdef BUG_CLAIM_WITHOUT_SEQUENCE
#define IS_OPEN(s)   (claim[SLOT(s)] == OPEN)
#else
#define IS_OPEN(s)   (STAMPED(s) && claim[SLOT(s)] == OPEN)
#endif

/* The intents: the word that a swap will expect.  intent_a == NONE: no intent. */
#define NONE 255
byte intent_s[PLACES], intent_a[PLACES];
#ifdef BUG_TRUST_INTENT_QUANTITY
byte intent_q[PLACES];
#endif

/* What the keeper is about to give: the kind of its next entry, for who completes it. */
byte draft;             /* kept only where there are two kinds */

#if RESTOCKS
/* The cell by which restocks are asked for: the token of one that is ready, or 0: free.  Whoever
 * asks has its next request ready at once. */
byte asked = 1;
#define FREE_CELL asked = (asked < RESTOCKS -> asked + 1 : 0)
#else
#define asked 0
#endif

/* Each worker's completion ring, of one cell: the outcome of its sequence. */
byte box_s[WORKERS], box[WORKERS];
#ifdef BUG_COMPLETION_WITHOUT_SEQUENCE
#define COMPLETED(s) (box[w] != 0)
#else
#define COMPLETED(s) (box[w] != 0 && box_s[w] == s)
#endif
#define SOLD      1
#define DUPLICATE 2
#define GONE      3     /* nobody waits for it: void, withdrawn, a return, a restock */

#if KEYS
bit table;              /* the key index holds the key */
byte indexed;           /* and covers all sequences before this one */
#endif

/* ---- The ledger, which outlives the keeper ------------------------------------------------ */

byte ledger;            /* one past the last entry */
byte sold, owed;        /* sums over its entries; owed = voids + duplicates - returns */
#if RESTOCKS
byte restocked;         /* another */
#else
#define restocked 0
#endif
bit key_sold;
byte outcome[RING];     /* of the entries that are not yet published */

/* ---- Who lives ---------------------------------------------------------------------------- */

byte life[PLACES];
#define ALIVE  0
#define DEAD   1        /* a zombie, or about to become one */
#define REAPED 2        /* its intent cannot change any more */
byte deaths, keeper_deaths, repair_deaths;
byte workers_done;
bit keeper_done, master_done;

#if WORKERS == 2
#define NO_WORKER(state) (life[0] != state && life[1] != state)
#else
#define NO_WORKER(state) (life[0] != state && life[1] != state && life[2] != state)
#endif
#define ALL_ALIVE (NO_WORKER(DEAD) && NO_WORKER(REAPED) && life[KEEPER] == ALIVE)

/* ---- Ghosts ------------------------------------------------------------------------------- */

byte g_quantity[RING];  /* what the swap really moved */
byte g_phase[RING];
#define INFLIGHT 0      /* swapped, not stamped, its winner lives */
#define BYOWNER  1      /* stamped by its winner */
#define ORPHAN   2      /* swapped, not stamped, its winner is dead */
#define BYMASTER 3      /* stamped by a repair */
byte g_waits[RING];     /* which living worker has a client waiting for this entry */
bit g_refused[RING];    /* that client was answered 503: withdrawn */
byte g_truth[WORKERS];  /* what the ledger says of the request that this worker has parked */
#if RESTOCKS
byte g_restocked;       /* swaps that restocked */
#endif

/* s is the latest sequence that occupies its slot */
#define OCCUPIES(s) (DISTANCE(word_s, s) >= 1 && DISTANCE(word_s, s) <= RING)
/* Only the winner of s, or the repair after it died, may write into the slot, and before the
 * stamp. */
#define MAY_FILL(s, phase) assert(OCCUPIES(s) && g_phase[SLOT(s)] == phase)

/* The state's store ends the filling. */
inline publish_entry(s, by)
{
	stamp[SLOT(s)] = NEXT(s); g_phase[SLOT(s)] = by;
#ifndef BUG_CLAIM_APART
	claim[SLOT(s)] = OPEN
#endif
}

inline forget_intent(place) { intent_a[place] = NONE; intent_s[place] = 0 }

/* The winner of s has taken its slot, in the same step as the word. */
inline occupy(s, moved, waits)
{
	/* no slot is used again before what it held is on disk */
	assert(!BEFORE(s, ledger) && DISTANCE(s, ledger) < RING);
	g_quantity[SLOT(s)] = moved;
	g_phase[SLOT(s)] = INFLIGHT;
	g_waits[SLOT(s)] = waits;
	g_refused[SLOT(s)] = 0
}

/* ---- A worker ----------------------------------------------------------------------------- */

#define FORGET s = 0; a = 0; d = 0; q = 0; k = 0; known = 0
#define DIES :: atomic { deaths < DEATHS -> \
	deaths++; life[w] = DEAD; FORGET; goto dead }
/* on to the next request */
#define ANSWERED FORGET; if :: left > 0 -> goto again :: left == 0 -> workers_done++; goto end fi
/* between the swap and the stamp */
#define DIES_HOLDING :: atomic { deaths < DEATHS -> \
	deaths++; life[w] = DEAD; g_phase[SLOT(s)] = ORPHAN; g_waits[SLOT(s)] = NOBODY; \
	FORGET; goto dead }
/* after it */
#define DIES_WAITING :: atomic { deaths < DEATHS -> \
	deaths++; life[w] = DEAD; nobody_waits(); FORGET; goto dead }

inline nobody_waits()
{
	if
	:: OCCUPIES(s) && g_waits[SLOT(s)] == w -> g_waits[SLOT(s)] = NOBODY
	:: else
	fi;
	g_truth[w] = 0
}

/* Success: the request is a sale, or a duplicate of one, and it is in the ledger. */
inline answer_success()
{
	assert(box[w] == g_truth[w]);
	assert(g_truth[w] == SOLD || g_truth[w] == DUPLICATE);
	box[w] = 0; box_s[w] = 0;
	g_truth[w] = 0
}
/* 503 after a withdrawal: nothing has been sold, and (see record) nothing will be. */
inline answer_503()
{
	assert(g_truth[w] == 0);
	assert(OCCUPIES(s) && g_waits[SLOT(s)] == w);
	g_refused[SLOT(s)] = 1;
	g_waits[SLOT(s)] = NOBODY
}

proctype worker(byte w)
{
	byte s, a, d, q, left = REQUESTS;
	bit k;
	bit known;      /* ghost: the key had been sold when this request began */

again:
	/* a request, with its first access */
	atomic {
		left--;
		select(q : 1 .. QUANTITY_MAX);
#if KEYS == 1
		select(k : 0 .. 1);
#endif
#if KEYS == 2
		k = 1;
#endif
		known = k && key_sold;
#if KEYS
		if
		:: k && table == 1 -> assert(key_sold); ANSWERED                /* its order */
		:: !(k && table == 1)
		fi
	}
retry:
	if :: atomic { d = durable } DIES fi;
#else
		d = durable; goto look
	}
retry:
	if :: atomic { d = durable } DIES fi;
look:
#endif
	if
	:: atomic {
		s = word_s; a = word_a;
		if
		:: a < q -> a = 0; d = 0; goto too_few
		:: a >= q && DISTANCE(s, d) >= RING -> goto quit        /* 503: ring full */
		:: a >= q && DISTANCE(s, d) < RING -> d = 0
		fi
	   }
	DIES
	fi;

#ifdef BUG_TRUST_INTENT_QUANTITY
	if :: atomic { intent_q[w] = q } DIES fi;
#endif
#ifndef BUG_NO_INTENT
	if :: atomic { intent_s[w] = s; intent_a[w] = a } DIES fi;
#endif

	/* the swap takes the tickets and the slot */
	if
	:: atomic { word_s == s && word_a == a ->
		occupy(s, BIAS + q, w);
		word_s = NEXT(s); word_a = a - q }
	:: atomic { !(word_s == s && word_a == a) -> s = 0; a = 0; goto retry }
	DIES
	fi;

#ifdef BUG_STAMP_BEFORE_FILL
	if :: atomic { MAY_FILL(s, INFLIGHT); publish_entry(s, BYOWNER) } DIES_HOLDING fi;
#define FILLING BYOWNER
#define DIES_FILLING DIES_WAITING
#else
#define FILLING INFLIGHT
#define DIES_FILLING DIES_HOLDING
#endif

#ifdef FINE
	if :: atomic { MAY_FILL(s, FILLING); f_quantity[SLOT(s)] = BIAS + q } DIES_FILLING fi;
	if :: atomic { MAY_FILL(s, FILLING); f_before[SLOT(s)] = a } DIES_FILLING fi;
	if :: atomic { MAY_FILL(s, FILLING); f_owner[SLOT(s)] = w } DIES_FILLING fi;
	if :: atomic { MAY_FILL(s, FILLING); f_kind[SLOT(s)] = (k -> KEYED : SALE) } DIES_FILLING fi;
#else
	if :: atomic { MAY_FILL(s, FILLING);
		f_quantity[SLOT(s)] = BIAS + q; f_before[SLOT(s)] = a; f_owner[SLOT(s)] = w;
		f_kind[SLOT(s)] = (k -> KEYED : SALE) }
	DIES_FILLING fi;
#endif

#ifdef BUG_CLEAR_BEFORE_STAMP
	if :: atomic { forget_intent(w) } DIES_HOLDING fi;
#endif
#ifndef BUG_STAMP_BEFORE_FILL
	if :: atomic { MAY_FILL(s, INFLIGHT); publish_entry(s, BYOWNER); a = 0; q = 0; k = 0; known = 0 }
	DIES_HOLDING fi;
#endif
#ifdef BUG_CLAIM_APART
	if :: atomic { claim[SLOT(s)] = OPEN } DIES_WAITING fi;
#endif
	if :: atomic { a = 0; q = 0; k = 0; known = 0; forget_intent(w) } DIES_WAITING fi;

	/* Parked.  A swap that fails changes nothing, so it is no transition of its own. */
	if
	:: atomic { COMPLETED(s) -> answer_success(); ANSWERED }
#if WITHDRAWALS
#ifdef BUG_WITHDRAW_BY_STORE
	/* looks, and then stores */
	:: atomic { IS_OPEN(s) -> skip };
		if
		:: atomic { stamp[SLOT(s)] = NEXT(s); claim[SLOT(s)] = WITHDRAWN;
			answer_503(); ANSWERED }
		DIES_WAITING
		fi
#else
	:: atomic { IS_OPEN(s) -> claim[SLOT(s)] = WITHDRAWN; answer_503(); ANSWERED }
#endif
#endif
	DIES_WAITING
	fi;
too_few:
#if KEYS
	/* Sold out for certain only when the index covers what was seen and does not hold the key.
	 * Waiting for that takes no slot.  (Giving up at the deadline is a 503, and not modelled.) */
	if
	:: k == 0
	:: k == 1 ->
		
		if :: atomic { forget_intent(w) } DIES fi;
#ifndef BUG_SOLD_OUT_UNINDEXED
		if
		:: atomic { !BEFORE(indexed, s) -> skip }
		DIES
		fi;
#endif
		if
		:: atomic { table == 1 -> assert(key_sold); ANSWERED }
		:: atomic { table == 0 -> assert(!known); ANSWERED }
		DIES
		fi
	fi;
#endif
quit:
	/* whoever stops trying clears its intent */
#ifdef BUG_STALE_INTENT
	atomic { ANSWERED };
#endif
	if :: atomic { forget_intent(w); ANSWERED } DIES fi;

dead:
	atomic { life[w] == ALIVE -> ANSWERED }
end:	skip
}

/* ---- The keeper --------------------------------------------------------------------------- */

#define KEEPER_FORGETS s = 0; a = 0; d = 0; n = 0; hold = 0; q = 0; kind = 0
#define KDIES :: atomic { keeper_deaths < KEEPER_DEATHS -> \
	keeper_deaths++; life[KEEPER] = DEAD; KEEPER_FORGETS; goto dead }
#define KDIES_HOLDING :: atomic { keeper_deaths < KEEPER_DEATHS -> \
	keeper_deaths++; life[KEEPER] = DEAD; g_phase[SLOT(s)] = ORPHAN; KEEPER_FORGETS; goto dead }

/* From here on the entry's claim does not change: whoever was first has decided. */
inline take(x)
{
	if
	:: atomic { IS_OPEN(x) -> claim[SLOT(x)] = TAKEN }
	:: atomic { !IS_OPEN(x) -> skip }       /* withdrawn; or taken by who died */
	KDIES
	fi
}

inline decide(x, as)
{
	outcome[SLOT(x)] = as;
	if
	:: g_waits[SLOT(x)] != NOBODY -> g_truth[g_waits[SLOT(x)]] = as
	:: else
	fi
}

/* One entry within the transaction.  withdrawn: what its claim said. */
inline record(x, withdrawn)
{
	assert(OCCUPIES(x) && (g_phase[SLOT(x)] == BYOWNER || g_phase[SLOT(x)] == BYMASTER));
	assert(f_quantity[SLOT(x)] == g_quantity[SLOT(x)]);    /* filled, and by the true amount */
	/* no entry lost, none twice */
	assert(f_before[SLOT(x)] == TICKETS + restocked - sold - owed);
	if
	:: f_kind[SLOT(x)] == RETURN ->
		assert(f_quantity[SLOT(x)] < BIAS && owed >= BIAS - f_quantity[SLOT(x)]);
		owed = owed - (BIAS - f_quantity[SLOT(x)]);
		outcome[SLOT(x)] = GONE
#if RESTOCKS
	:: f_kind[SLOT(x)] > RESTOCK ->
		assert(f_quantity[SLOT(x)] == BIAS - 1);
		assert(f_kind[SLOT(x)] == RESTOCK + restocked + 1);    /* each once, as asked */
		restocked++;
		outcome[SLOT(x)] = GONE
#endif
	:: f_kind[SLOT(x)] == VOID ->
		assert(f_quantity[SLOT(x)] > BIAS && g_phase[SLOT(x)] == BYMASTER);
		owed = owed + f_quantity[SLOT(x)] - BIAS;
		outcome[SLOT(x)] = GONE
	:: f_kind[SLOT(x)] <= KEYED && withdrawn ->
		assert(g_refused[SLOT(x)]);                    /* by its own worker */
		owed = owed + f_quantity[SLOT(x)] - BIAS;
		outcome[SLOT(x)] = GONE
	:: f_kind[SLOT(x)] <= KEYED && !withdrawn ->
		assert(!g_refused[SLOT(x)]);                   /* 503 means that nothing was sold */
		assert(f_quantity[SLOT(x)] > BIAS && g_phase[SLOT(x)] == BYOWNER);
		if
		:: f_kind[SLOT(x)] == KEYED && key_sold ->
			owed = owed + f_quantity[SLOT(x)] - BIAS;
			decide(x, DUPLICATE)
		:: else ->
			sold = sold + f_quantity[SLOT(x)] - BIAS;
			assert(sold <= TICKETS + restocked);
			if
			:: f_kind[SLOT(x)] == KEYED -> assert(!key_sold); key_sold = 1
			:: else
			fi;
			decide(x, SOLD)
		fi
	fi;
	ledger = NEXT(x)
}

/* The completion goes to the worker that the entry names; a successor there sees by the sequence
 * that it is not meant, and so does who has had it already. */
inline complete(x)
{
	if
	:: atomic { outcome[SLOT(x)] != GONE ->
		box[f_owner[SLOT(x)]] = outcome[SLOT(x)]; box_s[f_owner[SLOT(x)]] = x }
	:: atomic { outcome[SLOT(x)] == GONE -> skip }
	KDIES
	fi
}
/* of the n entries from d on */
inline complete_all()
{
	if :: n > 0 -> complete(d) :: n == 0 fi;
	if :: n > 1 -> complete(NEXT(d)) :: n <= 1 fi
}

/* What nobody may read any more is made equal, so that states that differ in nothing else are one. */
inline erase(i)
{
	f_quantity[i] = 0; f_before[i] = 0; f_kind[i] = 0; f_owner[i] = 0; g_quantity[i] = 0;
	g_phase[i] = BYOWNER; g_waits[i] = NOBODY; g_refused[i] = 0; outcome[i] = 0;
	claim[i] = TAKEN        /* or WITHDRAWN: for its sequence, neither lets a swap win */
}
/* The n entries from d on are in the ledger, and d passes them. */
inline publish()
{
	d = (d + n) & 255;
	durable = d;
	if
	:: !BEFORE(ledger, d) ->
		if
		:: n > 0 && DISTANCE(word_s, d) < RING -> erase(SLOT((d + 255) & 255))
		:: else
		fi;
		if
		:: n > 1 && DISTANCE(word_s, d) < RING - 1 -> erase(SLOT((d + 254) & 255))
		:: else
		fi
	:: else
	fi;
	n = 0
}

#if RESTOCKS
/* A predecessor may have made the entry that the cell asks for, and died before it freed the cell.
 * What it has swapped is stamped, by itself or by the repair of its place, so what is unstamped is
 * somebody else's and no restock. */
#ifdef BUG_RESTOCK_TOKEN_IGNORED
#define RESTOCKED_BY(x) (STAMPED(x) && f_kind[SLOT(x)] > RESTOCK)
#else
#define RESTOCKED_BY(x) (STAMPED(x) && f_kind[SLOT(x)] == RESTOCK + asked)
#endif
inline look_for_restock(end)
{
	s = d;
	do
	:: atomic { asked == 0 || s == end -> s = 0; break }
	:: atomic { asked != 0 && s != end && !RESTOCKED_BY(s) -> s = NEXT(s) }
	:: atomic { asked != 0 && s != end && RESTOCKED_BY(s) -> s = 0 };
		if :: atomic { FREE_CELL } KDIES fi;
		break
	KDIES
	od
}
#endif

proctype keeper()
{
	byte s, a, d, n, q;
	byte kind;              /* of the entry that is being given */
	byte hold;              /* nothing is given before all up to here is consumed */
	bit w1, w2;             /* withdrawn, in a batch */

	/* The first one finds an empty ring.  (To hold for what is sold meanwhile would only put a
	 * return off, as any giving entry does later.) */
	atomic { d = FIRST; hold = FIRST; goto loop };

start:
	/* From the segment's durable sequence to the ledger's, if that is later: entries that a
	 * predecessor recorded and did not publish.  Whether it placed their outcomes nobody knows. */
	if
	:: atomic { d = durable;
#ifndef BUG_RESTART_FROM_SEGMENT
		if :: BEFORE(d, ledger) -> n = DISTANCE(ledger, d) :: else fi
#endif
	   }
	KDIES
	fi;
#ifndef BUG_NO_REPLAY
	complete_all();
#endif
	if :: atomic { publish() } KDIES fi;
#if KEYS
	if :: atomic { table = key_sold } KDIES fi;
	if :: atomic { indexed = d } KDIES fi;
#endif
	/* What is in the ring may hold a return that the predecessor made. */
#ifdef BUG_RESTART_RETURNS_AT_ONCE
	hold = d;
#else
	if :: atomic { hold = word_s } KDIES fi;
#endif
	/* And a restock: looked for before anything of it is consumed, and its slot used again. */
#if RESTOCKS && !defined(BUG_RESTOCK_NO_LOOK) && !defined(BUG_RESTOCK_LOOK_LATE)
	look_for_restock(hold);
#endif

loop:
	/* To give is a hint to try; `give` reads again what it acts on. */
	if
	:: atomic { STAMPED(d) -> n = 1 }
	:: atomic { !STAMPED(d) && owed > 0 && hold == d && DISTANCE(word_s, d) < RING ->
		kind = RETURN; goto give }
#if RESTOCKS
	:: atomic { asked != 0 && hold == d && DISTANCE(word_s, d) < RING ->
		kind = RESTOCK + asked; goto give }
#endif
	:: atomic { workers_done == WORKERS && ALL_ALIVE && word_s == d && owed == 0 && asked == 0 ->
		assert(restocked == RESTOCKS);
		assert(word_a + sold == TICKETS + RESTOCKS);
		assert(durable == d && ledger == d);
		keeper_done = 1;
		goto end }
	KDIES
	fi;
#if BATCH > 1
	if
	:: atomic { STAMPED(NEXT(d)) -> n = 2 }
	:: skip
	fi;
#endif

#ifdef BUG_READ_BEFORE_TAKE
	if
	:: atomic { w1 = (claim[SLOT(d)] == WITHDRAWN); w2 = (claim[SLOT(NEXT(d))] == WITHDRAWN) }
	KDIES
	fi;
#endif
#ifndef BUG_NOT_TAKEN
	take(d);
#if BATCH > 1
	if
	:: n == 2 -> take(NEXT(d))
	:: n == 1
	fi;
#endif
#endif

#ifdef BUG_PUBLISH_BEFORE_TRANSACTION
	if :: atomic { durable = (d + n) & 255 } KDIES fi;
#endif
	/* one transaction, synced */
	if
	:: atomic {
#ifndef BUG_READ_BEFORE_TAKE
		w1 = (claim[SLOT(d)] == WITHDRAWN); w2 = (claim[SLOT(NEXT(d))] == WITHDRAWN);
#endif
		record(d, w1);
		if
		:: n == 2 -> record(NEXT(d), w2)
		:: n == 1
		fi;
		w1 = 0; w2 = 0
	   }
	KDIES
	fi;
#ifdef BUG_PUBLISH_BEFORE_COMPLETION
	if :: atomic { durable = (d + n) & 255 } KDIES fi;
#endif
	complete_all();
	if
	:: atomic {
		publish();
		if :: BEFORE(hold, d) -> hold = d :: else fi;
#if KEYS
	   }
	KDIES
	fi;
	if :: atomic { table = key_sold } KDIES fi;
	if
	:: atomic {
		indexed = d;
#endif
		if
		:: owed > 0 && hold == d -> kind = RETURN; goto give
		:: else -> goto loop
		fi
	   }
	KDIES
	fi;

give:
	/* All that is owed, or one ticket more, by an entry of the keeper's own. */
#ifdef BUG_RESTOCK_LOOK_LATE
	look_for_restock(word_s);
	if
	:: atomic { asked == 0 -> kind = 0; goto loop }
	:: else
	fi;
#endif
#ifdef BUG_RESTOCK_FREE_BEFORE_SWAP
	if
	:: atomic { kind > RESTOCK -> FREE_CELL }
	:: kind <= RESTOCK
	KDIES
	fi;
#endif
#if RESTOCKS && !defined(BUG_DRAFT_AFTER_SWAP)
	if :: atomic { draft = kind } KDIES fi;
#endif
again:
	if
	:: atomic { s = word_s; a = word_a; q = (kind == RETURN -> owed : 1);
		if
		:: DISTANCE(s, d) >= RING -> s = 0; a = 0; q = 0; kind = 0; goto give_up
		:: DISTANCE(s, d) < RING
		fi }
	KDIES
	fi;
	if :: atomic { intent_s[KEEPER] = s; intent_a[KEEPER] = a } KDIES fi;
	if
	:: atomic { word_s == s && word_a == a ->
		occupy(s, BIAS - q, NOBODY);
		word_s = NEXT(s); word_a = a + q;
#if RESTOCKS
		if
		:: kind > RESTOCK -> g_restocked++; assert(kind == RESTOCK + g_restocked)
		:: else
		fi;
		assert(word_a <= TICKETS + g_restocked) }
#else
		assert(word_a <= TICKETS) }
#endif
	:: atomic { !(word_s == s && word_a == a) -> goto again }
	KDIES
	fi;
#ifdef BUG_DRAFT_AFTER_SWAP
	if :: atomic { draft = kind } KDIES_HOLDING fi;
#endif
#ifdef FINE
	if :: atomic { MAY_FILL(s, INFLIGHT); f_quantity[SLOT(s)] = BIAS - q } KDIES_HOLDING fi;
	if :: atomic { MAY_FILL(s, INFLIGHT); f_before[SLOT(s)] = a } KDIES_HOLDING fi;
	if :: atomic { MAY_FILL(s, INFLIGHT); f_kind[SLOT(s)] = kind } KDIES_HOLDING fi;
#else
	if :: atomic { MAY_FILL(s, INFLIGHT);
		f_quantity[SLOT(s)] = BIAS - q; f_before[SLOT(s)] = a; f_kind[SLOT(s)] = kind }
	KDIES_HOLDING fi;
#endif
	if :: atomic { MAY_FILL(s, INFLIGHT); publish_entry(s, BYOWNER) } KDIES_HOLDING fi;
#if RESTOCKS && !defined(BUG_RESTOCK_FREE_BEFORE_SWAP)
	/* Before anything is consumed again: so while the cell asks, its entry is in the ring. */
	if
	:: atomic { kind > RESTOCK -> FREE_CELL }
	:: kind <= RESTOCK
	KDIES
	fi;
#endif
	if
	:: atomic { forget_intent(KEEPER);
		hold = NEXT(s); s = 0; a = 0; q = 0; kind = 0;
		goto loop }
	KDIES
	fi;

give_up:
	if :: atomic { forget_intent(KEEPER); goto loop } KDIES fi;

dead:
	atomic { life[KEEPER] == ALIVE -> goto start }
end:	skip
}

/* ---- The master: reaps, repairs, gives the place to a successor --------------------------- */

#define MASTER_FORGETS S = 0; A = 0; s = 0; a = 0; after = 0; v = 0; found = 0; p = 0
#define CUT_SHORT :: atomic { repair_deaths < REPAIR_DEATHS -> \
	repair_deaths++; MASTER_FORGETS; goto loop }

/* A reaped one cannot be about to win s: it won it or never will, and this repair settles either.
 * So only one that is not yet reaped is waited for, or two dead that show s wait for each other. */
#ifdef BUG_WAIT_FOR_THE_DEAD
#define MAY_OWN(v, s) (v != p && intent_a[v] != NONE && intent_s[v] == s)
#else
#ifdef BUG_IGNORE_THE_LIVING
#define MAY_OWN(v, s) false
#else
#define MAY_OWN(v, s) (v != p && life[v] != REAPED && intent_a[v] != NONE && intent_s[v] == s)
#endif
#endif

/* It expects, or has won, the sequence after s, and so shows what s left. */
#ifdef BUG_IGNORE_THE_DEAD
#define TELLS(v, s) (life[v] != REAPED && intent_a[v] != NONE && intent_s[v] == NEXT(s))
#else
#define TELLS(v, s) (intent_a[v] != NONE && intent_s[v] == NEXT(s))
#endif

/* Only the keeper gives.  Its draft is still the one of this orphan: it is dead, and without a
 * successor until its own place is repaired. */
#if RESTOCKS && !defined(BUG_RETURN_KIND_GUESSED)
#define GIVEN draft
#else
#define GIVEN RETURN
#endif

proctype master()
{
	byte p;                 /* whose place */
	byte s, a, S, A, v;
	byte after;             /* available before s + 1 */
	bit found;

loop:
	/* All the dead are reaped first. */
	if
	:: atomic { life[0] == DEAD -> life[0] = REAPED; goto loop }
	:: atomic { life[1] == DEAD -> life[1] = REAPED; goto loop }
#if WORKERS > 2
	:: atomic { life[2] == DEAD -> life[2] = REAPED; goto loop }
#endif
	:: atomic { life[KEEPER] == DEAD -> life[KEEPER] = REAPED; goto loop }
#define NONE_DEAD (NO_WORKER(DEAD) && life[KEEPER] != DEAD)
	:: atomic { life[0] == REAPED && NONE_DEAD -> p = 0 }
	:: atomic { life[1] == REAPED && NONE_DEAD -> p = 1 }
#if WORKERS > 2
	:: atomic { life[2] == REAPED && NONE_DEAD -> p = 2 }
#endif
	:: atomic { life[KEEPER] == REAPED && NONE_DEAD -> p = KEEPER }
	:: atomic { workers_done == WORKERS && keeper_done -> goto end }
	fi;

	/* 1: what the dead one was about to do; it no longer changes */
	if
	:: atomic {
		s = intent_s[p]; a = intent_a[p];
		if :: a == NONE -> goto done :: else fi
	   }
	CUT_SHORT
	fi;
	/* 2: the word */
	if
	:: atomic {
		S = word_s; A = word_a;
		if
		:: S == s -> goto clear                 /* nobody has won s */
		:: S == NEXT(s) -> after = A; found = 1
		:: else
		fi;
		S = 0; A = 0
	   }
	CUT_SHORT
	fi;
	/* 3: the intents */
	do
	:: atomic { v < PLACES && MAY_OWN(v, s) -> goto blocked }
	:: atomic { v < PLACES && !MAY_OWN(v, s) ->
		/* of the dead too: until its repair an intent may be all that tells */
		if
		:: TELLS(v, s) -> after = intent_a[v]; found = 1
		:: else
		fi;
		v++ }
	:: atomic { v == PLACES -> v = 0; break }
	CUT_SHORT
	od;
	/* 4: the stamp, last */
	if
	:: atomic { !UNSTAMPED(s) -> goto clear }
	:: atomic { UNSTAMPED(s) -> skip }
	CUT_SHORT
	fi;
	/* 5: an orphan; what it moved is the difference to what the next sequence found */
#ifdef BUG_TRUST_INTENT_QUANTITY
	if :: atomic { after = a - intent_q[p]; found = 1 } CUT_SHORT fi;
#endif
	if
	:: atomic { !found -> assert(STAMPED(NEXT(s))); after = f_before[SLOT(NEXT(s))] }
	:: found
	CUT_SHORT
	fi;
#ifdef FINE
	if :: atomic { MAY_FILL(s, ORPHAN); f_quantity[SLOT(s)] = BIAS + a - after } CUT_SHORT fi;
	if :: atomic { MAY_FILL(s, ORPHAN); f_before[SLOT(s)] = a } CUT_SHORT fi;
	if :: atomic { MAY_FILL(s, ORPHAN); f_kind[SLOT(s)] = (a > after -> VOID : GIVEN) }
	CUT_SHORT fi;
#else
	if :: atomic { MAY_FILL(s, ORPHAN);
		f_quantity[SLOT(s)] = BIAS + a - after; f_before[SLOT(s)] = a;
		f_kind[SLOT(s)] = (a > after -> VOID : GIVEN) }
	CUT_SHORT fi;
#endif
	if :: atomic { MAY_FILL(s, ORPHAN); publish_entry(s, BYMASTER) } CUT_SHORT fi;
clear:
	/* 6 */
	if :: atomic { forget_intent(p) } CUT_SHORT fi;
done:
	/* 7: a successor */
	atomic { life[p] = ALIVE; MASTER_FORGETS; goto loop };

blocked:
	/* come back when that has changed, or when it has died in turn */
	atomic { !MAY_OWN(v, s) || life[v] == DEAD -> MASTER_FORGETS; goto loop };

end:	master_done = 1
}

/* Runs when nobody else can: then all must have ended.  So nobody hangs on anything. */
proctype watchdog()
{
	timeout -> assert(keeper_done && master_done && workers_done == WORKERS)
}

init {
	byte i = 0, x = FIRST;
	atomic {
		word_s = FIRST; word_a = TICKETS; durable = FIRST; ledger = FIRST;
#if KEYS
		indexed = FIRST;
#endif
		do
		:: i < RING ->
			stamp[SLOT(x)] = (x + 1 - RING) & 255;  /* one lap behind */
			claim[SLOT(x)] = TAKEN;
			g_phase[SLOT(x)] = BYOWNER; g_waits[SLOT(x)] = NOBODY;
			x = NEXT(x); i++
		:: i == RING -> i = 0; break
		od;
		do
		:: i < PLACES -> intent_a[i] = NONE; i++
		:: i == PLACES -> i = 0; break
		od;
		x = 0;
		do
		:: i < WORKERS -> run worker(i); i++
		:: i == WORKERS -> i = 0; break
		od;
		run keeper(); run master(); run watchdog()
	}
}
