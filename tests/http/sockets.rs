//! WebSockets of agents at an instance that listens: who gets a place, and who loses it and hears why.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use chancery::{config::Flag, working};
use chrono::TimeDelta;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::{
    io::{self, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    task::{JoinHandle, JoinSet},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    heartbeats::Agent,
    kit::{Instance, TOKEN, until},
};

const PATIENCE: Duration = Duration::from_mins(1);

/// Opcodes of frames (RFC 6455, 5.2).
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// An instance's door, open.
struct Door {
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<Result<(), chancery::http::Error>>,
}

impl Door {
    async fn open(instance: &Instance) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(instance, listener)
    }

    fn on(instance: &Instance, listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let app = Arc::clone(&instance.app);
        let server = tokio::spawn(chancery::http::serve(app, listener, stop.clone()));
        Self {
            address,
            stop,
            server,
        }
    }

    /// Once nobody has a socket any more.
    async fn close(self) {
        self.stop.cancel();
        self.server.await.unwrap().unwrap();
    }
}

/// A client that sees each frame.
struct Wire(TcpStream);

impl Wire {
    /// Asks for a socket of many agents, for whoever a proxy says; the status where there is none.
    async fn open(door: &Door, forwarded_for: Option<&str>) -> Result<Self, u16> {
        let stream = TcpStream::connect(door.address).await.unwrap();
        let forwarded =
            forwarded_for.map_or_else(String::new, |from| format!("x-forwarded-for: {from}\r\n"));
        Self::ask(stream, door, &forwarded).await
    }

    /// The same over a connection, with these lines in the head.
    async fn ask(mut stream: TcpStream, door: &Door, lines: &str) -> Result<Self, u16> {
        let request = format!(
            "GET /v1/heartbeat HTTP/1.1\r\nhost: {}\r\n{lines}connection: upgrade\r\n\
             upgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            door.address,
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let status = head.strip_prefix(b"HTTP/1.1 ").unwrap();
        match std::str::from_utf8(&status[..3]).unwrap().parse().unwrap() {
            101 => Ok(Self(stream)),
            other => Err(other),
        }
    }

    /// Sends a frame. Clients mask what they send; a mask of zeros changes nothing.
    async fn send(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        let length = u16::try_from(payload.len()).unwrap();
        let mut frame = vec![0x80 | opcode, 0x80 | 0x7e];
        if let Ok(short @ 0..=125) = u8::try_from(length) {
            frame[1] = 0x80 | short;
        } else {
            frame.extend(length.to_be_bytes());
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        self.0.write_all(&frame).await
    }

    /// The next frame.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        let opcode = self.0.read_u8().await.unwrap() & 0x0f;
        let length = match self.0.read_u8().await.unwrap() {
            126 => self.0.read_u16().await.unwrap(),
            short => short.into(),
        };
        let mut payload = vec![0; length.into()];
        self.0.read_exact(&mut payload).await.unwrap();
        (opcode, payload)
    }

    /// Says something and hears what becomes of it.
    async fn say(&mut self, message: &str) -> Value {
        self.send(TEXT, message.as_bytes()).await.unwrap();
        self.told().await
    }

    /// What became of the next message.
    async fn told(&mut self) -> Value {
        let (opcode, told) = self.frame().await;
        let text = String::from_utf8_lossy(&told);
        assert_eq!(opcode, TEXT, "{text}");
        serde_json::from_str(&text).unwrap()
    }
}

/// A close frame's code and reason.
fn why(payload: &[u8]) -> (u16, &str) {
    let (code, reason) = payload.split_first_chunk().unwrap();
    (
        u16::from_be_bytes(*code),
        std::str::from_utf8(reason).unwrap(),
    )
}

#[sqlx::test]
async fn one_address_does_not_take_everybodys_places(pool: PgPool) {
    let keys = [
        Flag::new("http.max_sockets", 4),
        Flag::new("http.max_sockets_per_address", 1),
        Flag::new("access.per_minute", 1_000_000),
        Flag::new("access.per_hour", 1_000_000),
    ];
    let instance = Instance::with(&pool, &keys).await;
    let door = Door::open(&instance).await;
    let (his, hers) = (Some("203.0.113.7"), Some("2001:db8::1"));
    let first = Wire::open(&door, his).await.unwrap();
    assert_eq!(Wire::open(&door, his).await.err(), Some(429));
    let others = [
        Wire::open(&door, hers).await.unwrap(),
        Wire::open(&door, Some("2001:db8:0:1::1")).await.unwrap(),
    ];
    let same = Some("2001:db8::ffff");
    assert_eq!(Wire::open(&door, same).await.err(), Some(429), "of her /64");
    // A program on this machine is not counted by itself, but has its place among all.
    let ours = Wire::open(&door, None).await.unwrap();
    assert_eq!(Wire::open(&door, None).await.err(), Some(503));
    assert_eq!(instance.app.seats.taken(), 4);
    // The gauge is the process's: other tests of it set theirs.
    let told = async || {
        let metrics = instance.get("/metrics").await;
        let mut lines = metrics.text().lines();
        lines.any(|line| line == "chancery_sockets 4").then_some(())
    };
    until("four are counted", PATIENCE, told).await;
    drop(first);
    let again = async || Wire::open(&door, his).await.ok();
    let again = until("his place is free", PATIENCE, again).await;
    drop((again, others, ours));
    door.close().await;
}

#[sqlx::test]
async fn the_operators_places_are_no_addresss(pool: PgPool) {
    let keys = [
        Flag::new("http.max_sockets_per_address", 1),
        Flag::new("access.origins", json!(["https://office.example"])),
    ];
    let instance = Instance::with(&pool, &keys).await;
    let door = Door::open(&instance).await;
    let first = Wire::open(&door, None).await.unwrap();
    assert_eq!(Wire::open(&door, None).await.err(), Some(429));
    let token = format!("authorization: Bearer {TOKEN}\r\n");
    let his = async || {
        let stream = TcpStream::connect(door.address).await.unwrap();
        Wire::ask(stream, &door, &token).await.unwrap()
    };
    let his = [his().await, his().await];
    drop((first, his));
    door.close().await;
}

#[sqlx::test]
async fn beats_keep_a_place_and_pings_do_not(pool: PgPool) {
    let keys = [
        Flag::new("http.max_sockets", 1),
        Flag::new("http.socket_silence_seconds", 3),
    ];
    let instance = Instance::with(&pool, &keys).await;
    let agent = Agent::new(&instance, "a", 1).await;
    let door = Door::open(&instance).await;
    let mut wire = Wire::open(&door, None).await.unwrap();
    let opened = Instant::now();
    assert_eq!(Wire::open(&door, None).await.err(), Some(503));
    // Each is recorded in a round of its own, a tenth of a second after the one before: longer than may be silent.
    let start = instance.app.db.clock().now() - TimeDelta::seconds(50);
    for second in 0..45 {
        let beat = agent.beat_at(start + TimeDelta::seconds(second));
        let told = wire.say(&agent.named(beat).to_string()).await;
        assert_eq!(told["accepted"], true, "{told}");
    }
    let silence = Duration::from_secs(3);
    assert!(opened.elapsed() > silence, "else this shows nothing");
    let refused = wire.say("no beat").await;
    assert_eq!(refused["accepted"], false);
    let pings = async {
        loop {
            // It may have ended meanwhile: then that is the next frame.
            let _ = wire.send(PING, b"").await;
            match wire.frame().await {
                (CLOSE, payload) => return payload,
                (opcode, _) => assert_eq!(opcode, PONG),
            }
        }
    };
    let end = timeout(PATIENCE, pings).await.expect("pings keep no place");
    assert_eq!(why(&end), (4408, "no beat counted for 3 s"));
    let free = async || Wire::open(&door, None).await.ok();
    drop(until("its place is free", PATIENCE, free).await);
    door.close().await;
}

#[sqlx::test]
async fn who_sends_what_is_no_beat_is_told_and_disconnected(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let door = Door::open(&instance).await;
    let mut wire = Wire::open(&door, None).await.unwrap();
    // What is longer than any name is told back in part.
    let long = json!({ "agent": "é".repeat(1_000), "timestamp": "now", "signature": "x" });
    let told = wire.say(&long.to_string()).await;
    assert_eq!(told["agent"], "é".repeat(512));
    assert_eq!(told["code"], "invalid");
    for _ in 0..63 {
        assert_eq!(wire.say("nonsense").await["code"], "invalid");
    }
    let (opcode, end) = timeout(PATIENCE, wire.frame()).await.expect("it ends");
    assert_eq!(opcode, CLOSE);
    assert_eq!(why(&end), (4400, "64 messages in a row were wrong"));
    door.close().await;
}

/// Whoever hears that we cannot record now sends it again, and need not open a socket anew.
#[sqlx::test]
async fn what_we_could_not_record_is_no_wrong_message(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let agent = Agent::new(&instance, "a", 1).await;
    let door = Door::open(&instance).await;
    let mut wire = Wire::open(&door, None).await.unwrap();
    instance.app.db.close().await;
    let beat = agent.named(agent.beat_at(instance.app.db.clock().now()));
    for _ in 0..65 {
        let message = beat.to_string();
        wire.send(TEXT, message.as_bytes()).await.unwrap();
    }
    for _ in 0..65 {
        let told = wire.told().await;
        assert_eq!(told["code"], "unavailable", "{told}");
    }
    assert_eq!(wire.say("nonsense").await["code"], "invalid");
    drop(wire);
    door.close().await;
}

#[sqlx::test]
async fn a_beat_that_is_being_recorded_keeps_the_place(pool: PgPool) {
    let keys = [Flag::new("http.socket_silence_seconds", 2)];
    let instance = Instance::with(&pool, &keys).await;
    let agent = Agent::new(&instance, "a", 1).await;
    let mut held = pool.begin().await.unwrap();
    let lock = "LOCK TABLE identity.heartbeats IN ACCESS EXCLUSIVE MODE";
    sqlx::query(lock).execute(&mut *held).await.unwrap();
    let door = Door::open(&instance).await;
    let mut wire = Wire::open(&door, None).await.unwrap();
    let beat = agent.named(agent.beat_at(instance.app.db.clock().now()));
    let message = beat.to_string();
    wire.send(TEXT, message.as_bytes()).await.unwrap();
    let longer = Duration::from_secs(3);
    let nothing = timeout(longer, wire.frame()).await;
    assert!(
        nothing.is_err(),
        "neither an answer nor an end: {nothing:?}"
    );
    held.rollback().await.unwrap();
    let told = timeout(PATIENCE, wire.told()).await.expect("an answer");
    assert_eq!(told["accepted"], true, "{told}");
    drop(wire);
    door.close().await;
}

/// The system gives up nobody here, and the door has buffers as small as it may.
#[sqlx::test]
async fn who_reads_no_answers_loses_the_place(pool: PgPool) {
    let keys = [
        Flag::new("http.max_sockets", 1),
        Flag::new("http.stalled_seconds", 0),
        Flag::new("http.timeout_seconds", 2),
    ];
    let instance = Instance::with(&pool, &keys).await;
    let listening = TcpSocket::new_v4().unwrap();
    listening.set_send_buffer_size(4_096).unwrap();
    listening.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let door = Door::on(&instance, listening.listen(64).unwrap());
    let calling = TcpSocket::new_v4().unwrap();
    calling.set_recv_buffer_size(4_096).unwrap();
    let stream = calling.connect(door.address).await.unwrap();
    let mut wire = Wire::ask(stream, &door, "").await.unwrap();
    assert_eq!(Wire::open(&door, None).await.err(), Some(503));
    // The answers to these have 70 kB.
    let message = json!({ "agent": "x".repeat(1_024), "timestamp": "now", "signature": "x" });
    for _ in 0..63 {
        let message = message.to_string();
        wire.send(TEXT, message.as_bytes()).await.unwrap();
    }
    let free = async || Wire::open(&door, None).await.ok();
    let another = until("its place is free", PATIENCE, free).await;
    drop((wire, another));
    door.close().await;
}

/// The workers of a running instance tell that an agent lives, and then that its next beat is overdue.
#[sqlx::test]
async fn a_running_instance_tells_that_an_agent_came_and_went(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let agent = Agent::new(&instance, "a", 1).await;
    let ttl = "UPDATE identity.agents SET ttl = 30 WHERE did = $1";
    let ttl = sqlx::query(ttl).bind(&agent.did);
    ttl.execute(instance.app.db.pool()).await.unwrap();
    let (mut workers, stop) = (JoinSet::new(), CancellationToken::new());
    working::start(&instance.app, &mut workers, &stop);
    let door = Door::open(&instance).await;
    let mut wire = Wire::open(&door, None).await.unwrap();
    // It lasts for ten seconds more.
    let beat = agent.beat_at(instance.app.db.clock().now() - TimeDelta::seconds(20));
    let told = wire.say(&agent.named(beat).to_string()).await;
    assert_eq!(told["accepted"], true, "{told}");
    let path = format!("/v1/agents/{}/status-changes?dimension=liveness", agent.did);
    let changes = async || Some(instance.items(&path).await).filter(|changes| changes.len() == 2);
    let changes = until("it came and went", PATIENCE, changes).await;
    let new: Vec<&Value> = changes.iter().map(|change| &change["new"]).collect();
    assert_eq!(new, [&json!("inactive"), &json!("active")]);
    drop(wire);
    stop.cancel();
    while workers.join_next().await.is_some() {}
    door.close().await;
}
