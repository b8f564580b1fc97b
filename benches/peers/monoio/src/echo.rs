//! monoio_echo PORT: one thread, one io_uring.
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};

async fn echo(mut socket: TcpStream) {
    let mut buffer = vec![0u8; 65536];
    loop {
        let (read, filled) = socket.read(buffer).await;
        match read {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        // A read sets the length of the vector.
        let (written, back) = socket.write_all(filled).await;
        if written.is_err() {
            return;
        }
        buffer = back;
    }
}

async fn serve(port: String) {
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).expect("bind");
    loop {
        if let Ok((socket, _)) = listener.accept().await {
            let _ = socket.set_nodelay(true);
            monoio::spawn(echo(socket));
        }
    }
}

fn main() {
    let port = std::env::args().nth(1).expect("PORT");
    monoio::RuntimeBuilder::<monoio::IoUringDriver>::new()
        .with_entries(4096)
        .build()
        .expect("io_uring")
        .block_on(serve(port));
}
