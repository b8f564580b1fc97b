//! compio_echo PORT: one thread, one io_uring.
use compio::buf::BufResult;
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};

async fn echo(mut socket: TcpStream) {
    let mut buffer = Vec::with_capacity(65536);
    loop {
        buffer.clear();
        let BufResult(read, filled) = socket.read(buffer).await;
        match read {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let BufResult(written, back) = socket.write_all(filled).await;
        if written.is_err() {
            return;
        }
        buffer = back;
    }
}

#[compio::main]
async fn main() {
    let port = std::env::args().nth(1).expect("PORT");
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await.expect("bind");
    loop {
        if let Ok((socket, _)) = listener.accept().await {
            let _ = socket.set_nodelay(true);
            compio::runtime::spawn(echo(socket)).detach();
        }
    }
}
